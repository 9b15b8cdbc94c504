"""Why a use case could not be carried out, other than by a rule of the domain.

ApplicationError
 ├── Unavailable          a server behind the service is out of reach; the caller may try again
 │    └── Unconfirmed     ... and whether the notification was accepted is unknown
 ├── NotAuthenticated     nobody we know
 │    └── Revoked         ... any more: the token is dead before it expired
 ├── NotAllowed           somebody we know, who may not do this
 ├── KeyReused            an idempotency key came back with another body
 ├── Refused              the store will never take this data
 ├── Stuck                a process that could work does not, and should be started anew
 └── UnknownDeadLetter    there is none at this place
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
    """After how long it makes sense to try again."""


class Unconfirmed(Unavailable):
    """The queue did not confirm in time. Whether it was accepted is unknown: retry with the same key."""

    def __init__(self, notification_id: UUID | None = None, detail: str | None = None) -> None:
        self.notification_id = notification_id
        super().__init__(detail)


class Refused(ApplicationError):
    """The store refuses the data itself; trying again would end the same way."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        self.code = code
        super().__init__(detail)


class NotAuthenticated(ApplicationError):
    """Valid credentials are required."""


class Revoked(NotAuthenticated):
    """The token was revoked, or its user is disabled. Get a new one."""


class NotAllowed(ApplicationError):
    """These credentials do not allow that."""


class KeyReused(ApplicationError):
    """The Idempotency-Key was used before, with another body."""


class Stuck(ApplicationError):
    """The process stands still although there is work and everything is in reach. Start it again."""


class UnknownDeadLetter(ApplicationError):
    """There is no such dead letter."""
