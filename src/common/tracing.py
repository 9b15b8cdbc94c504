"""The trace of the current work (W3C Trace Context), so that records can carry it."""

import re
from collections.abc import Callable
from contextvars import ContextVar

from application.ports import NewToken

traceparent: ContextVar[str | Callable[[], str] | None] = ContextVar("traceparent", default=None)
"""The traceparent, or what makes it when it is needed first; see `parent`."""
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def continued(received: str | None, new_token: NewToken) -> str:
    """A traceparent for this service's span: in the received trace if that is valid, else in a new one."""
    match = _TRACEPARENT.fullmatch(received or "")
    trace = match[1] if match else new_token(16)
    return f"00-{trace}-{new_token(8)}-01"


def parent() -> str | None:
    """The traceparent of the current work."""
    current = traceparent.get()
    if callable(current):
        current = current()
        traceparent.set(current)
    return current


def trace_id() -> str | None:
    """The id of the current trace."""
    current = parent()
    return current.split("-")[1] if current else None
