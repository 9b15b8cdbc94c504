"""The security headers of every answer over HTTP, also of those that do not come from the application."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from common.exchanges import lines

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_FIXED = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_POLICY = b"content-security-policy"
SECURITY_HEADERS: Headers = (*_FIXED, (_POLICY, b"default-src 'none'; frame-ancestors 'none'"))
SECURITY_LINES = lines(SECURITY_HEADERS)
"""The same as lines of a head."""


def secured(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers with the security headers. A page keeps its own policy."""
    own = list(headers)
    for name, _ in own:
        if name == _POLICY:
            return [*own, *_FIXED]
    return [*own, *SECURITY_HEADERS]
