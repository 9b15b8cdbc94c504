"""`python -m bench [NAME…]`: measure, print a table, keep it in bench/results/latest.json."""

import argparse
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from bench import (
    beside,
    browser,
    draining,
    dropping,
    fanout,
    fetching,
    generating,
    growth,
    http_publish,
    ingest,
    latency,
    marking,
    opening,
    resting,
    scaling,
    slow,
    stages,
)
from bench.measured import Row
from bench.peers import PEERS
from bench.report import LATEST, facts, save, table
from bench.scenario import Context, Named, Run
from bench.servers import BROKERS, Stack, stack

SCENARIOS: dict[str, Run] = {
    "baseline": http_publish.baseline,
    "publish": http_publish.publish,
    "batch": http_publish.batch,
    "ingest": ingest.ingest,
    "fetch": fetching.fetch,
    "read": marking.read,
    "latency": latency.latency,
    "stages": stages.stages,
    "browser": browser.browser,
    "fanout": fanout.fanout,
    "idle": resting.idle,
    "openings": opening.openings,
    "drops": dropping.drops,
    "drain": draining.drain,
    "slow": slow.slow,
    "generator": generating.generator,
    "peers": beside.peers,
    "growth": growth.growth,
    "scaling": scaling.scaling,
    "baseline-again": http_publish.baseline,  # shows how steady the machine was
}


def main() -> int:
    """Run the chosen measurements. Return 1 if an answer was wrong; the numbers do not matter."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.markdown:
        print(table(LATEST.read_text()))
        return 0
    if unknown := set(arguments.names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if arguments.peer and not arguments.url:
        parser.error("--peer needs --url")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    with stack(_say, BROKERS[arguments.servers]) as servers:
        context = _context(arguments, servers)
        about = facts(servers, seconds=context.seconds, quick=context.quick)
        try:
            for name in arguments.names or SCENARIOS:
                rows.extend(_measure(name, context))
        finally:  # what was measured before an interruption is kept
            save({**about, "load_after": os.getloadavg()}, [asdict(row) for row in rows], arguments.save)
    print(table(LATEST.read_text()))
    return int(any(row.errors for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SCENARIOS)} (all)")
    parser.add_argument("--seconds", type=float, help="how long each load lasts (10, quick: 4)")
    parser.add_argument("--quick", action="store_true", help="short loads, less data")
    parser.add_argument("--servers", choices=BROKERS, default="embedded", help="the broker (embedded)")
    parser.add_argument(
        "--stored", type=int, help="the most that `growth` stores (1,000,000, quick: 100,000)"
    )
    parser.add_argument("--save", metavar="NAME", help="keep the results under this name too, for bench.page")
    parser.add_argument("--markdown", action="store_true", help="print the table of the last run")
    peer = parser.add_argument_group("peers", "a system that runs on this machine, for the scenario `peers`")
    peer.add_argument("--peer", choices=PEERS, help="its adapter, in bench/peers")
    peer.add_argument("--url", help="its address, as http://127.0.0.1:8000")
    peer.add_argument("--key", default="", help="the key with which it takes publishes")
    peer.add_argument("--secret", default="", help="the secret that signs its users' tokens")
    peer.add_argument(
        "--pid", type=int, action="append", default=[], help="a process whose cost counts; repeat"
    )
    return parser


def _context(arguments: argparse.Namespace, servers: Stack) -> Context:
    quick: bool = arguments.quick
    peer = None
    if arguments.peer:
        peer = Named(arguments.peer, arguments.url, arguments.key, arguments.secret, arguments.pid)
    return Context(
        servers,
        arguments.seconds or (4.0 if quick else 10.0),
        quick,
        stored=arguments.stored or (100_000 if quick else 1_000_000),
        peer=peer,
    )


def _measure(name: str, context: Context) -> Iterator[Row]:
    run = SCENARIOS[name]
    _say(f"{name}: {run.__doc__}")
    began = time.monotonic()
    for row in run(context):
        yield row
        _say(f"    {row.what}: {row.value:,.1f} {row.unit} {row.note}")
    _say(f"    ({time.monotonic() - began:.0f} s)")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
