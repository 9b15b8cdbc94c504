"""An export of users as JSON Lines."""

from collections.abc import Iterable, Iterator

import msgspec

from application.lines import Kind, Line, Unfit
from domain.identifiers import UserId


class _Line(msgspec.Struct, omit_defaults=True):
    type: Kind
    format: int = 0
    user: str | None = None
    count: int = 0
    row: msgspec.Raw = msgspec.Raw(b"{}")


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


def write(line: Line) -> bytes:
    """A line of an export, with its end."""
    row = msgspec.Raw(line.row.encode())
    return _encode(_Line(line.kind, line.format, line.user, line.count, row)) + b"\n"


def read(lines: Iterable[bytes]) -> Iterator[Line]:
    """The lines of an export, one after another. Raises Unfit."""
    for number, text in enumerate(lines, 1):
        try:
            found = _decode(text)
            user = None if found.user is None else UserId(found.user)
            yield Line(found.type, bytes(found.row).decode(), user, found.count, found.format)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unfit(f"line {number}: {error}") from error
