"""`python -m bench [NAME…]`: measure, print a table, keep it in bench/results/latest.json."""

import argparse
import os
import resource
import signal
import sys
import time
from dataclasses import asdict

from bench import (
    draining,
    dropping,
    fanout,
    fetching,
    http_publish,
    ingest,
    latency,
    marking,
    opening,
    resting,
    slow,
    stages,
)
from bench.measured import Row
from bench.report import LATEST, facts, save, table
from bench.scenario import Context, Run
from bench.servers import BROKERS, stack

SCENARIOS: dict[str, Run] = {
    "baseline": http_publish.baseline,
    "publish": http_publish.publish,
    "batch": http_publish.batch,
    "ingest": ingest.ingest,
    "fetch": fetching.fetch,
    "read": marking.read,
    "latency": latency.latency,
    "stages": stages.stages,
    "fanout": fanout.fanout,
    "idle": resting.idle,
    "openings": opening.openings,
    "drops": dropping.drops,
    "drain": draining.drain,
    "slow": slow.slow,
    "baseline-again": http_publish.baseline,  # shows how steady the machine was
}


def main() -> int:
    """Run the chosen measurements. Return 1 if an answer was wrong; the numbers do not matter."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SCENARIOS)} (all)")
    parser.add_argument("--seconds", type=float, help="how long each load lasts (10, quick: 4)")
    parser.add_argument("--quick", action="store_true", help="short loads, less data")
    parser.add_argument("--servers", choices=BROKERS, default="embedded", help="the broker (embedded)")
    parser.add_argument("--markdown", action="store_true", help="print the table of the last run")
    arguments = parser.parse_args()
    if arguments.markdown:
        print(table(LATEST.read_text()))
        return 0
    if unknown := set(arguments.names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    with stack(_say, BROKERS[arguments.servers]) as servers:
        seconds = arguments.seconds or (4.0 if arguments.quick else 10.0)
        context = Context(servers, seconds, arguments.quick)
        about = facts(servers, seconds=seconds, quick=arguments.quick)
        for name in arguments.names or SCENARIOS:
            rows += _measure(name, context)
    save({**about, "load_after": os.getloadavg()}, [asdict(row) for row in rows])
    print(table(LATEST.read_text()))
    return int(any(row.errors for row in rows))


def _measure(name: str, context: Context) -> list[Row]:
    run = SCENARIOS[name]
    _say(f"{name}: {run.__doc__}")
    began, rows = time.monotonic(), []
    for row in run(context):
        rows.append(row)
        _say(f"    {row.what}: {row.value:,.1f} {row.unit} {row.note}")
    _say(f"    ({time.monotonic() - began:.0f} s)")
    return rows


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
