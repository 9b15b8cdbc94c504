"""Scenario: where the time goes between a publish and its frame."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bench.hosted import hosted
from bench.latency import template
from bench.load import Job, percentile, request, run
from bench.measured import Row, timed
from bench.report import RESULTS
from bench.scenario import Context
from bench.sockets import Sockets

_USERS = 500
_RATES = (1, 200, 1_000)
_SECONDS_AT_ONE = 15
_ITEM = re.compile(rb'\{"id":"([0-9a-f-]{36})"[^{]*"metadata":\{"sent":(\d{19})\}')

HOPS = {
    "checked": "request: HTTP and guards",
    "acknowledged": "publish: until Kafka has it",
    "fetched": "fetch: until the consumer has it",
    "storing": "wait: for the worker",
    "committed": "PostgreSQL, and around it",
    "announcing": "wait: to be announced",
    "heard": "Redis: index and frame",
    "written": "API: to the socket",
    "received": "socket: to the client",
}
"""The hops in order, each with the name of the stage that it ends. Statements come before `committed`."""

Stages = Mapping[str, Sequence[float]]
"""Seconds of every notification, by stage."""


class Watchers(Sockets):
    """Clients that note when each notification came."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.seen: list[tuple[str, int, int]] = []
        """The ids, when they were due, and when they came."""

    def got(self, payload: bytes) -> None:
        now = time.time_ns()
        super().got(payload)
        self.seen += [(found[0].decode(), int(found[1]), now) for found in _ITEM.findall(payload)]

    async def collect_seen(self, expected: int) -> list[tuple[str, int, int]]:
        """Wait for this many; return them."""
        await self.collect(expected)
        seen, self.seen = self.seen, []
        return seen


def stages(context: Context) -> Iterator[Row]:
    """One notification through every hop, at 1, 200 and 1,000 a second; 500 users with one socket each."""
    stack, users = context.stack, context.users("stages", _USERS)
    stack.topic("stages")
    header = f"X-API-Key: {context.api_key}"
    requests = [request("POST", "/v1/notifications", header, body=template(user)) for user in users]
    files = {kind: stack.folder / f"stages-{kind}.jsonl" for kind in ("consumer", "api")}
    words = {kind: ["bench.staged", kind, str(file)] for kind, file in files.items()}
    seen: dict[int, list[tuple[str, int, int]]] = {}
    with (
        stack.service("consumer", "stages", words=words["consumer"]),
        stack.service("api", "stages", words=words["api"]) as api,
        _watchers(api.port) as watchers,
    ):

        def load(rate: int, seconds: float) -> list[tuple[str, int, int]]:
            # Few at a low rate: the API closes connections that are idle for seconds.
            job = Job(
                port=api.port,
                requests=requests,
                seconds=seconds,
                connections=min(64, 2 * rate),
                warmup=0,
                rate=rate,
                expect=202,
            )
            outcome = run(job)
            found: list[tuple[str, int, int]] = watchers(Watchers.collect_seen, outcome.sent)
            return found

        watchers(Watchers.open, users)
        load(200, 3.0)
        for rate in _RATES:
            seen[rate] = load(rate, _SECONDS_AT_ONE if rate == 1 else context.seconds)
    noted = _read(*files.values())
    found = {rate: _stages(noted, rows) for rate, rows in seen.items()}
    _save(stack.kafka_name, found)
    for rate, rows in seen.items():
        ages = [(came - due) / 1e9 for _, due, came in rows]
        row = timed(f"stages at {rate:,}/s", ages, rate, "notifications/s", errors=int(not rows))
        yield row
        _print(found[rate])


def _watchers(port: int) -> AbstractContextManager[Callable[..., Any]]:
    return hosted(Watchers, port)


def _read(*files: Path) -> dict[str, dict[str, int]]:
    """When each notification passed each hop, for the first time."""
    noted: dict[str, dict[str, int]] = {}
    for file in files:
        for line in file.read_text().splitlines():
            hop, when, ids = json.loads(line)
            for one in ids:
                noted.setdefault(one, {}).setdefault(hop, when)
    return noted


def _stages(noted: Mapping[str, Mapping[str, int]], rows: Sequence[tuple[str, int, int]]) -> Stages:
    """The seconds of each stage, of notifications that passed every hop."""
    found: dict[str, list[float]] = {}
    for one, due, came in rows:
        times = {**noted.get(one, {}), "received": came}
        if not times.keys() >= HOPS.keys():
            continue
        # The consumer may have it before the API hears that the brokers do.
        times["acknowledged"] = min(times["acknowledged"], times["fetched"])
        before = due
        for hop, name in _in_order(times):
            found.setdefault(name, []).append((times[hop] - before) / 1e9)
            before = times[hop]
    return found


def _in_order(times: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """The hops, with the statements in their place."""
    statements = sorted((when, hop) for hop, when in times.items() if hop.startswith("statement "))
    for hop, name in HOPS.items():
        if hop == "committed":
            yield from ((one, f"PostgreSQL: {one.removeprefix('statement ')}") for _, one in statements)
        yield hop, name


def _save(kafka: str, found: Mapping[int, Stages]) -> None:
    """Keep the figures of this broker beside those of others, and draw them all."""
    from bench.plot import draw_stages

    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "stages.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    kept[kafka] = {
        str(rate): {name: _summary(took) for name, took in one.items()} for rate, one in found.items()
    }
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    draw_stages(kept, RESULTS / "stages.svg")


def _summary(took: Sequence[float]) -> dict[str, float]:
    return {
        "mean": sum(took) / len(took),
        "p50": percentile(took, 0.5),
        "p99": percentile(took, 0.99),
    }


def _print(found: Stages) -> None:
    for name, took in found.items():
        one = _summary(took)
        figures = "  ".join(f"{key} {value * 1e3:7.2f}" for key, value in one.items())
        print(f"        {name:34} {figures} ms", file=sys.stderr, flush=True)
