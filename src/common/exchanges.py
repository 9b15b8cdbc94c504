"""Two additions to ASGI that save time: the header fields of a request by name, made once for all who ask,
and an answer in one message. An application works without them, on any server.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

_FIELDS: Final = "bellwire.fields"
ANSWER: Final = "bellwire.answer"
"""The extension whose message is a whole answer: its `status`, the lines of its `head` and its `body`, which
has the length that the head says. No value has a character that RFC 9110 §5.5 forbids."""


def fields_of(scope: Any) -> Mapping[bytes, bytes]:
    """The header fields of a request by their names. Of several with one name, the first counts."""
    found: dict[bytes, bytes] | None = scope.get(_FIELDS)
    if found is None:
        found = scope[_FIELDS] = first_of(scope["headers"])
    return found


def set_fields(scope: Any, fields: Mapping[bytes, bytes]) -> None:
    """Say what they are, because somebody made them before."""
    scope[_FIELDS] = fields


def first_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """These fields by their names; the first of several."""
    listed = list(headers)
    found = dict(listed)
    return found if len(found) == len(listed) else dict(reversed(listed))


def takes_answers(scope: Mapping[str, Any]) -> bool:
    """Whether a whole answer may be sent in one message."""
    extensions = scope.get("extensions")
    return extensions is not None and ANSWER in extensions


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """These fields as lines of a head."""
    return b"".join([b"%b: %b\r\n" % field for field in headers])
