"""The trace that the current work belongs to (W3C Trace Context), so that it can travel with a record."""

import re
from contextvars import ContextVar

from application.ports import NewToken

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def continued(received: str | None, new_token: NewToken) -> str:
    """A traceparent for our part of the work: of the same trace if a valid one came, else of a new one."""
    match = _TRACEPARENT.fullmatch(received or "")
    trace = match[1] if match else new_token(16)
    return f"00-{trace}-{new_token(8)}-01"


def trace_id() -> str | None:
    """The id of the current trace."""
    current = traceparent.get()
    return current.split("-")[1] if current else None
