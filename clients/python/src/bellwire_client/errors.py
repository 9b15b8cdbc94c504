"""Errors. Everything that this package itself raises is a BellwireError or a ValueError."""

from collections.abc import Mapping
from typing import Any


class BellwireError(Exception):
    """The base class of this package's errors."""


class Problem(BellwireError):
    """The service refused a call over HTTP, with problem details (RFC 9457)."""

    def __init__(self, status: int, body: Mapping[str, Any], *, retry_after: float = 0.0) -> None:
        self.status = status
        self.kind = str(body.get("type", "")).removeprefix("urn:bellwire:problem:")
        """The stable name to compare, such as `unknown-user`; docs/http-api.md lists them."""
        self.title = str(body.get("title", f"HTTP status {status}"))
        self.detail = str(body.get("detail", ""))
        self.errors: tuple[Mapping[str, str], ...] = tuple(body.get("errors") or ())
        """The field errors of an `invalid` problem, each with `field` and `message`."""
        self.retry_after = retry_after
        """Seconds to wait, if the service asked for it."""
        super().__init__(f"{self.title}: {self.detail}" if self.detail else self.title)


class Unreachable(BellwireError):
    """The service, or the source of tokens, could not be reached. The outcome of the call is unknown."""

    retry_after = 0.0


class StreamRefused(BellwireError):
    """The stream has ended for good: the service asked not to repeat the same request."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        """The close code, 4500 to 4999, or the HTTP status if no socket was opened."""
        self.reason = reason
        super().__init__(f"{reason or 'refused'} ({code})")


class CommandRefused(BellwireError):
    """The service answered a command on the stream with an error; it changed nothing."""

    def __init__(self, code: str, detail: str, *, temporary: bool) -> None:
        self.code = code
        self.detail = detail
        self.temporary = temporary
        """Whether the same command may succeed later."""
        super().__init__(f"{detail} ({code})")


class NotConnected(BellwireError):
    """A command was not sent, because the stream has no connection."""


class OutcomeUnknown(BellwireError):
    """A command was sent and not answered. It may have been executed; marks can be repeated safely."""


class ConnectionLost(BellwireError):
    """A connection of the stream ended. The stream handles it: it reconnects, and reports Disconnected."""

    def __init__(self, reason: str, code: int | None = None, *, retry_after: float = 0.0) -> None:
        self.reason = reason
        self.code = code
        self.retry_after = retry_after
        """Seconds to wait, if the service asked for it."""
        super().__init__(reason)
