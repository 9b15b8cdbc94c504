"""What passes through the queue, as text and as JSON. It cannot be trusted: the output escapes it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from application.letters import DeadLetter
from application.passing import Passed, Seen
from entrypoints.commands.output import Cell
from entrypoints.commands.times import clock_time

_STYLES = {"new": "green", "edit": "cyan", "retraction": "yellow", "unreadable": "bold red"}
_MOST_NAMES = 3


def cells(seen: Seen) -> Sequence[Cell]:
    """A record or a dead letter on one line."""
    if isinstance(seen, DeadLetter):
        what: tuple[Cell, ...] = (("dead letter", "bold red"),)
        rest: tuple[Cell, ...] = (f"{seen.code:20}", seen.user or "-", seen.message)
    else:
        what = ((f"{seen.kind:11}", _STYLES[seen.kind]),)
        rest = (
            f"{seen.event or seen.error:20}",
            seen.user or "-",
            (f"{seen.source}  {seen.size:,} B", "dim"),
        )
    return ((clock_time(seen.at), "dim"), *what, (f"{seen.position!s:9}", "dim"), *rest)


def entry(seen: Seen) -> Mapping[str, Any]:
    """The same for JSON."""
    place = {"partition": seen.position.partition, "offset": seen.position.offset, "at": seen.at.isoformat()}
    if isinstance(seen, DeadLetter):
        return {
            "type": "dead-letter",
            **place,
            "user": seen.user,
            "code": seen.code,
            "message": seen.message,
        }
    return {
        "type": "record",
        **place,
        "kind": seen.kind,
        "user": seen.user,
        "event": seen.event,
        "category": seen.category,
        "source": seen.source,
        "bytes": seen.size,
        "error": seen.error or None,
    }


def rates(passed: Passed, seconds: float) -> Mapping[str, Any]:
    """What passed within some seconds, for JSON."""
    return {
        "seconds": round(seconds, 3),
        "records": passed.records,
        "bytes": passed.size,
        "dead_letters": passed.dead_letters,
        "records_per_second": round(_per(passed.records, seconds), 3),
        "bytes_per_second": round(_per(passed.size, seconds), 3),
        "events": passed.events,
        "categories": passed.categories,
        "sources": passed.sources,
    }


def rate_cells(what: str, passed: Passed, seconds: float) -> Sequence[tuple[str, str]]:
    """The same on one line, with the counts of the most frequent events, categories and sources."""
    return (
        (f"{what:6}", "bold"),
        (f"{passed.records:,} records in {seconds:.0f} s", ""),
        (f"{_per(passed.records, seconds):,.1f} records/s", "green"),
        (f"{_size(_per(passed.size, seconds))}/s", "green"),
        *([(f"{passed.dead_letters:,} dead letters", "bold red")] if passed.dead_letters else []),
        *_most("events", passed.events),
        *_most("categories", passed.categories),
        *_most("sources", passed.sources),
    )


def _most(what: str, names: Counter[str]) -> Sequence[tuple[str, str]]:
    listed = [f"{name} {count:,}" for name, count in names.most_common(_MOST_NAMES)]
    more = len(names) - len(listed)
    if more > 0:
        listed.append(f"{more} more")
    return [(f"{what}: {', '.join(listed)}", "dim")] if listed else []


def _per(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _size(count: float) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} B"
