"""`python -m bench.page`: writes the figures of saved runs into the pages of docs/, and draws their pictures.

Runs are kept by `python -m bench --save NAME …` in bench/results/NAME.json. In a page, what stands between
`<!-- figures: BLOCK -->` and `<!-- end of figures -->` is replaced by the block of this name, unless its run
is missing. So no figure is typed by hand.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import capacity, pictures
from bench.report import RESULTS, about, rows_table
from bench.units import Units

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("performance.md", "scaling.md")

Row = Mapping[str, Any]
Runs = Mapping[str, Mapping[str, Any]]
"""The saved runs by name: `about` and `rows`."""

_BLOCK = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
_PARTS = ("API", "consumer", "PostgreSQL", "Redis", "broker")


def main() -> int:
    """Write what there is. Return 1 if a run is missing."""
    runs = {file.stem: json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))}
    runs = {name: run for name, run in runs.items() if "rows" in run}
    missing: set[str] = set()
    if units := measured(runs):
        units.save()
    for name in PAGES:
        page = DOCS / name
        page.write_text(filled(page.read_text(), runs, missing))
    draw(runs, DOCS / "images")
    for block in sorted(missing):
        print(f"left as it was, because its run is missing: {block}", file=sys.stderr)
    return int(bool(missing))


def filled(page: str, runs: Runs, missing: set[str]) -> str:
    """The page with its blocks replaced; add those whose run is missing to `missing`."""

    def block(found: re.Match[str]) -> str:
        try:
            text = BLOCKS[found[2]](runs)
        except (KeyError, StopIteration):
            missing.add(found[2])
            return found[0]
        return f"{found[1]}{text}\n{found[3]}"

    return _BLOCK.sub(block, page)


# --- the blocks -----------------------------------------------------------------------------------------


def _main(runs: Runs) -> str:
    kafka = [{**row, "what": f"{row['what']}, Apache Kafka"} for row in runs["kafka"]["rows"]]
    rows = [
        row
        for row in [*runs["main"]["rows"], *runs["idle"]["rows"], *kafka]
        if not row["what"].startswith("stages ")
    ]
    return "\n".join([*about(runs["main"]["about"]), "", *rows_table(rows)])


def _generator(runs: Runs) -> str:
    lines = [
        "| what | rate | p50 | p99 | generator, µs each | server, µs each | generator's share |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in runs["generator"]["rows"]:
        details = row["details"]
        own = details.get("clients_cpu") or details["generator_cpu"]
        theirs = row["cpu"] or 0.0
        cells = [
            row["what"],
            f"{row['value']:,.0f} {row['unit']}",
            _ms(row["p50"]),
            _ms(row["p99"]),
            _micro(own),
            _micro(theirs),
            f"{own / (own + theirs):.0%}",
        ]
        lines.append(_cells(cells))
    return "\n".join(lines)


def _peers(runs: Runs) -> str:
    rows = runs["peers"]["rows"]
    names = list(dict.fromkeys(row["details"]["peer"] for row in rows))
    operations = list(dict.fromkeys(row["details"]["operation"] for row in rows))
    found = {(row["details"]["operation"], row["details"]["peer"]): row for row in rows}
    lines = [_cells(["", *names]), _cells(["---", *["---:"] * len(names)])]
    for one in operations:
        ours = found.get((one, "bellwire"))
        lines.append(_cells([one, *(_peer(found.get((one, name)), ours) for name in names)]))
    return "\n".join(lines)


def _peer(row: Row | None, ours: Row | None) -> str:
    """What a system achieved, and at what cost: also as a multiple of Bellwire's."""
    if row is None:
        return "–"
    value = f"{row['value']:,.0f}/s"
    if "rate" in row["details"]:
        value = f"{_ms(row['p50'])} / {_ms(row['p99'])}"
    if not row["cpu"]:
        return value
    times = f" ({row['cpu'] / ours['cpu']:.2g} ×)" if ours and ours is not row and ours["cpu"] else ""
    return f"{value}; {_micro(row['cpu'])} µs{times}"


def _growth(runs: Runs) -> str:
    lines, heavy = growth_lines(runs["growth"]["rows"])
    sizes = sorted({size for points in lines.values() for size in points})
    head = ["µs each", *(f"{size:,}" for size in sizes), "one user, 30,000 unread"]
    made = [_cells(head), _cells(["---", *["---:"] * (len(sizes) + 1)])]
    for name, points in lines.items():
        cells = [f"{points[size]:,.0f}" if size in points else "" for size in sizes]
        made.append(_cells([name, *cells, f"{heavy[name]:,.0f}" if name in heavy else ""]))
    return "\n".join(made)


def growth_lines(rows: Sequence[Row]) -> tuple[dict[str, dict[int, float]], dict[str, float]]:
    """Microseconds by operation and by how much was stored; and those of the one user."""
    lines: dict[str, dict[int, float]] = {}
    heavy: dict[str, float] = {}
    for row in rows:
        operation, stored, cost = row["details"]["operation"], row["details"]["stored"], row["cpu"] * 1e6
        if stored:
            lines.setdefault(operation, {})[stored] = cost
        else:
            heavy[operation] = cost
    return lines, heavy


def _browser(runs: Runs) -> str:
    badges, *scrolled = runs["browser"]["rows"]
    count, p95 = badges["details"]["count"], badges["details"]["p95"]
    painted = f"p50 {_ms(badges['p50'])}, p95 {_ms(p95)}, p99 {_ms(badges['p99'])}"
    return "\n".join(
        [
            *about(runs["browser"]["about"]),
            "",
            _cells(["what", "result"]),
            _cells(["---", "---"]),
            _cells([f"{badges['what']}, {count} times", painted]),
            *(_cells([row["what"], f"{row['value']:.0f} {row['unit']}; {row['note']}"]) for row in scrolled),
        ]
    )


def _units(runs: Runs) -> str:
    units = measured(runs)
    if units is None:
        raise KeyError
    lines = [_cells(["µs of processor time", *_PARTS]), _cells(["---", *["---:"] * len(_PARTS)])]
    for name, cost in _named(units):
        lines.append(_cells([name, *(_micro(cost[part]) if part in cost else "" for part in _PARTS)]))
    sizes = (
        f"{units.record_bytes:,.0f} bytes in Kafka, {units.stored_bytes:,.0f} in PostgreSQL with its indexes,"
    )
    log = f"{units.wal_bytes:,.0f} of write-ahead log"
    return "\n".join(
        [
            *lines,
            "",
            f"A notification is {sizes} {log}; a silent socket {units.socket_bytes / 1024:,.1f} KiB.",
        ]
    )


def _named(units: Units) -> Iterator[tuple[str, Mapping[str, float]]]:
    yield "a publish, until acknowledged", units.publish
    yield "a notification of a batch of 500", units.batched
    yield "from Kafka into PostgreSQL and Redis", units.store
    yield "a frame to one socket of one of many users", units.deliver
    yield "20 unread, from the index", units.fetch
    yield "20 of all, from PostgreSQL", units.history
    yield "a mark", units.mark
    yield "a socket opened", units.open
    yield "a silent socket, each second", units.idle_second


def _scaling(runs: Runs) -> str:
    lines = [
        _cells(["what", "a second", *_PARTS, "generator"]),
        _cells(["---", *["---:"] * (len(_PARTS) + 2)]),
    ]
    for row in runs["scaling"]["rows"]:
        busy = row["details"]["cores"]
        shares = [f"{busy[part]:.0%}" if part in busy else "" for part in (*_PARTS, "generator")]
        lines.append(_cells([row["what"], f"{row['value']:,.0f}", *shares]))
    return "\n".join(lines)


def _capacity(runs: Runs) -> str:
    units = measured(runs) or Units.load()
    load, machines = capacity.Load(sockets=1_000_000, rate=100_000), capacity.Machines()
    needs = capacity.table(capacity.needs(load, units, machines))
    return f"{needs}\n\n{capacity.assumptions(load, machines)}"


BLOCKS: Mapping[str, Callable[[Runs], str]] = {
    "main": _main,
    "generator": _generator,
    "peers": _peers,
    "growth": _growth,
    "browser": _browser,
    "units": _units,
    "scaling": _scaling,
    "capacity": _capacity,
}


# --- unit costs -----------------------------------------------------------------------------------------


def measured(runs: Runs) -> Units | None:
    """The unit costs of these runs; None if one of them is missing."""
    try:
        return _measured(runs)
    except (KeyError, StopIteration):
        return None


def _measured(runs: Runs) -> Units:
    names = ("main", "idle", "peers", "scaling", "growth")
    main, idle, peers, scaling, growth = (runs[name]["rows"] for name in names)
    stored = max(
        (row["details"] for row in growth if "wal_bytes" in row["details"]),
        key=lambda details: details["stored"],
    )
    last = stored["stored"]

    def of(rows: Sequence[Row], what: str, *parts: str) -> dict[str, float]:
        by_part = next(row for row in rows if row["what"] == what)["details"]["cpu_by_part"]
        return {part: by_part[part] for part in parts}

    answering = ("API", "PostgreSQL", "Redis")
    return Units(
        publish=of(scaling, "1 API process: publish", "API", "broker"),
        batched={"API": _of(main, "publish, 500 a call", "cpu")},
        store=of(
            scaling, "1 consumer: Kafka → stored and announced", "consumer", "PostgreSQL", "Redis", "broker"
        ),
        deliver={"API": _of(main, "deliveries to 5,000 users, a socket each", "cpu")},
        fetch=of(scaling, "1 API process: fetch 20 unread", *answering),
        history=of(growth, f"{last:,} stored: fetch 20 of all, from PostgreSQL", *answering),
        mark=of(growth, f"{last:,} stored: mark one read", *answering),
        open={
            **of(peers, "bellwire: open a socket", "PostgreSQL", "Redis"),
            "API": _of(main, "sockets opened, each of another user", "cpu"),
        },
        idle_second={"API": _of(idle, "processor time of an idle socket", "value") / 1e6},
        socket_bytes=_of(idle, "memory of an idle socket", "value") * 1024,
        record_bytes=record_bytes(),
        wal_bytes=stored["wal_bytes"],
        stored_bytes=stored["stored_bytes"],
    )


def _of(rows: Sequence[Row], what: str, field: str) -> float:
    return float(next(row for row in rows if row["what"] == what)[field])


def record_bytes() -> float:
    """The size of a record of the benchmarks, with its key and Kafka's own fields (about 30 bytes)."""
    from datetime import UTC, datetime

    from adapters.clock import NotificationIds
    from adapters.kafka.codec import encode
    from domain.identifiers import UserId
    from domain.notification import Content, Draft

    content = Content(user_id=UserId("customer-0000001"), event="bench.done", message="Build 7 has passed.")
    return float(
        len(encode(Draft(NotificationIds()(), datetime.now(UTC), content))) + len(content.user_id) + 30
    )


# --- pictures -------------------------------------------------------------------------------------------


def draw(runs: Runs, folder: Path) -> None:
    """Draw the pictures whose runs there are."""
    if curves := _curves(runs):
        pictures.latencies(curves, folder / "latency.svg")
    if "main" in runs and (bars := _bars(runs["main"]["rows"])):
        pictures.throughput(bars, folder / "throughput.svg")
    if "growth" in runs:
        pictures.growth(*growth_lines(runs["growth"]["rows"]), folder / "growth.svg")
    if "scaling" in runs:
        pictures.cores(runs["scaling"]["rows"], folder / "scaling.svg")
    if (stages := RESULTS / "stages.svg").exists():
        shutil.copy(stages, folder / "stages.svg")


def _curves(runs: Runs) -> dict[str, Sequence[tuple[float, float]]]:
    found = {}
    for name, kind in (
        ("kafka", "Apache Kafka"),
        ("main", "embedded broker"),
        ("generator", "trivial server"),
    ):
        for row in runs[name]["rows"] if name in runs else ():
            if "distribution" in row["details"]:
                found[f"{kind}, {row['details']['rate']:,}/s"] = row["details"]["distribution"]
    return found


def _bars(rows: Sequence[Row]) -> dict[str, tuple[float, str]]:
    names = ("bare ", "publish, ", "fetch ", "mark ", "Kafka ", "sockets opened, ")
    return {row["what"]: (row["value"], row["unit"]) for row in rows if row["what"].startswith(names)}


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.1f} ms"


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f}" if seconds < 1e-5 else f"{seconds * 1e6:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
