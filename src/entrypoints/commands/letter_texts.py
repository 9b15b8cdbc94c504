"""Dead letters as text. They cannot be trusted, so everything in them is escaped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from application.letters import DeadLetter
from application.printing import printable
from entrypoints.commands.output import Cell


def cells(letter: DeadLetter) -> Sequence[Cell]:
    """A letter on one line."""
    return (
        f"{letter.position!s:10}",
        _time(letter.at),
        (f"{letter.code:12}", "red"),
        f"{letter.user or '-':20}",
        str(letter.attempt),
        letter.message,
    )


def entry(letter: DeadLetter) -> dict[str, object]:
    """The same, and where the record came from, for JSON."""
    topic, partition, offset = letter.record or (None, None, None)
    return {
        "partition": letter.position.partition,
        "offset": letter.position.offset,
        "at": _time(letter.at),
        "error_class": letter.error_class,
        "code": letter.code,
        "message": letter.message,
        "user": letter.user,
        "attempt": letter.attempt,
        "first_failed_at": _time(letter.first_failed_at),
        "original_topic": topic,
        "original_partition": partition,
        "original_offset": offset,
    }


def whole_entry(letter: DeadLetter) -> dict[str, object]:
    """Everything about a letter, for JSON; bytes as text, in which those that are not UTF-8 are replaced."""
    return {
        **entry(letter),
        "key": _decoded(letter.key),
        "headers": [[name, _decoded(value)] for name, value in letter.headers],
        "value": _decoded(letter.value),
    }


def details(letter: DeadLetter) -> Iterator[str]:
    """Everything about a letter, line by line."""
    record = "{} {}:{}".format(*letter.record) if letter.record else "unknown"
    size = "none" if letter.value is None else f"{len(letter.value):,} bytes"
    yield f"letter   {letter.position}, written {_time(letter.at)}"
    yield f"record   {record}"
    yield printable(f"error    {letter.code} ({letter.error_class}): {letter.message}")
    yield f"attempt  {letter.attempt}, first failed {_time(letter.first_failed_at)}"
    yield printable(f"user     {letter.user or '-'}")
    yield f"key      {_escaped(letter.key)}"
    yield "headers"
    for name, value in letter.headers:
        yield f"  {printable(name)}: {_escaped(value)}"
    yield f"value    {size}"
    if letter.value is not None:
        yield from _pretty(letter.value)


@dataclass(slots=True)
class _Counted:
    error_class: str
    first: datetime
    last: datetime
    letters: int = 0


class Summary:
    """Letters counted by error code."""

    def __init__(self) -> None:
        self._codes: dict[str, _Counted] = {}

    def add(self, letter: DeadLetter) -> None:
        """Count a letter."""
        counted = self._codes.setdefault(letter.code, _Counted(letter.error_class, letter.at, letter.at))
        counted.first = min(counted.first, letter.at)
        counted.last = max(counted.last, letter.at)
        counted.letters += 1

    def entries(self) -> Iterator[dict[str, object]]:
        """One entry per code, the most frequent first."""
        for code, counted in sorted(self._codes.items(), key=lambda entry: -entry[1].letters):
            yield {
                "letters": counted.letters,
                "code": code,
                "error_class": counted.error_class,
                "first": _time(counted.first),
                "last": _time(counted.last),
            }


def summary_cells(counted: Mapping[str, object]) -> Sequence[Cell]:
    """An entry of a summary on one line."""
    return [
        template.format_map(counted)
        for template in ("{letters:>8}", "{code:12}", "{error_class:12}", "{first} to {last}")
    ]


def _decoded(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _escaped(data: bytes | None) -> str:
    if data is None:
        return "none"
    try:
        return printable(data.decode())
    except UnicodeDecodeError:
        return repr(data)


def _pretty(value: bytes) -> Sequence[str]:
    """JSON with line breaks, and numbers and repeated keys as they were written; other values escaped."""
    try:
        return [printable(text) for text in msgspec.json.format(value, indent=2).decode().split("\n")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [_escaped(value)]
