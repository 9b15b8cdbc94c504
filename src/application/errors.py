"""Why a use case failed, apart from the rules of the domain.

ApplicationError
 ├── Unavailable          a server behind the service is out of reach; the caller may try again
 │    ├── Unconfirmed     ... and whether the notification was accepted is unknown
 │    └── Busy            ... because too many others are waiting for it
 ├── Limited              too much was asked in too short a time; the caller may try again later
 ├── NotAuthenticated     the credentials are missing or not valid
 │    └── Revoked         ... because of a revocation
 ├── NotAllowed           the credentials are valid, but do not allow this
 ├── UnknownKey           there is no such API key, or not for this caller
 ├── KeyNotInUse          an API key that was revoked, has expired or was replaced cannot be rotated
 ├── KeyReused            an idempotency key was used again with another body
 ├── Refused              the store will never take this data
 ├── Stuck                a process could work but makes no progress, and should be restarted
 ├── UnknownErasure       there is no erasure with this id
 └── UnknownDeadLetter    there is no dead letter at this position
"""

from math import ceil
from uuid import UUID


class ApplicationError(Exception):
    """The request could not be carried out."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)


class Unavailable(ApplicationError):
    """A server that this needs is out of reach. Try again shortly."""

    retry_seconds = 1
    """How long to wait before another try."""


class Unconfirmed(Unavailable):
    """The queue did not confirm in time. Whether it was accepted is unknown: retry with the same key."""

    def __init__(self, notification_id: UUID | None = None, detail: str | None = None) -> None:
        self.notification_id = notification_id
        super().__init__(detail)


class Busy(Unavailable):
    """Too many are waiting for this already. Try again shortly."""


class Limited(ApplicationError):
    """Too many requests. Try again later."""

    def __init__(self, limit: str, seconds: float, allowance: object = None) -> None:
        """`limit` is the name of the limit, `seconds` how long to wait."""
        self.limit = limit
        self.retry_seconds = max(1, ceil(seconds))
        self.allowance = allowance
        """What is left; see application.limits."""
        super().__init__(f"Too many requests for the limit {limit!r}. Try again in {self.retry_seconds} s.")


class Refused(ApplicationError):
    """The store refuses this data; another try would fail in the same way."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        self.code = code
        super().__init__(detail)


class NotAuthenticated(ApplicationError):
    """Valid credentials are required."""


class Revoked(NotAuthenticated):
    """The token was revoked, or its user is disabled. Get a new one."""


class NotAllowed(ApplicationError):
    """These credentials do not allow that."""


class UnknownKey(ApplicationError):
    """There is no such API key."""


class KeyNotInUse(ApplicationError):
    """The API key was revoked, has expired or was replaced before."""


class KeyReused(ApplicationError):
    """The Idempotency-Key was used before, with another body."""


class Stuck(ApplicationError):
    """The process makes no progress although there is work and every server is in reach. Restart it."""


class UnknownErasure(ApplicationError):
    """There is no such erasure."""


class UnknownDeadLetter(ApplicationError):
    """There is no such dead letter."""
