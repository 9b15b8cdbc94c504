"""Why a use case failed, apart from the rules of the domain.

ApplicationError
 ├── Unavailable          a server behind the service is out of reach; the caller may try again
 │    └── Unconfirmed     ... and whether the notification was accepted is unknown
 ├── NotAuthenticated     the credentials are missing or not valid
 │    ├── Revoked         ... because of a revocation
 │    └── UnknownKey      ... or its key has not been read yet
 ├── NotAllowed           the credentials are valid, but do not allow this
 ├── KeyReused            an idempotency key was used again with another body
 ├── Refused              the store will never take this data
 ├── Stuck                a process could work but makes no progress, and should be restarted
 └── UnknownDeadLetter    there is no dead letter at this position
"""

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


class Refused(ApplicationError):
    """The store refuses this data; another try would fail in the same way."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        self.code = code
        super().__init__(detail)


class NotAuthenticated(ApplicationError):
    """Valid credentials are required."""


class UnknownKey(NotAuthenticated):
    """The token names a key (kid) that is not known."""


class Revoked(NotAuthenticated):
    """The token was revoked, or its user is disabled. Get a new one."""


class NotAllowed(ApplicationError):
    """These credentials do not allow that."""


class KeyReused(ApplicationError):
    """The Idempotency-Key was used before, with another body."""


class Stuck(ApplicationError):
    """The process makes no progress although there is work and every server is in reach. Restart it."""


class UnknownDeadLetter(ApplicationError):
    """There is no such dead letter."""
