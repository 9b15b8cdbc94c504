"""Dead letters as text. They cannot be trusted, so everything in them is escaped."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from application.dead_letters import printable
from application.letters import DeadLetter


def line(letter: DeadLetter) -> str:
    """A letter on one line."""
    columns = (
        f"{letter.position!s:10}",
        _time(letter.at),
        f"{letter.code:12}",
        f"{letter.user or '-':20}",
        str(letter.attempt),
        letter.message,
    )
    return printable("  ".join(columns))


def json_line(letter: DeadLetter) -> str:
    """The same as `line`, and where the record came from, as JSON in ASCII."""
    topic, partition, offset = letter.record or (None, None, None)
    return json.dumps(
        {
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
    )


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

    def lines(self, *, as_json: bool) -> Iterator[str]:
        """One line per code, the most frequent first."""
        for code, counted in sorted(self._codes.items(), key=lambda entry: -entry[1].letters):
            entry = {
                "letters": counted.letters,
                "code": code,
                "error_class": counted.error_class,
                "first": _time(counted.first),
                "last": _time(counted.last),
            }
            text = "{letters:>8}  {code:12}  {error_class:12}  {first} to {last}".format_map(entry)
            yield json.dumps(entry) if as_json else printable(text)


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
