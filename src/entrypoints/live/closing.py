"""What a client is told of an error that ends its stream."""

import logging

from application.errors import ApplicationError, NotAllowed, NotAuthenticated, Revoked, Unavailable
from application.streams import Lagging
from domain.errors import DomainError, Invalid, UnknownUser
from entrypoints.live.frames import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    INVALID_TOKEN,
    REVOKED,
    SLOW_READER,
    Close,
)

logger = logging.getLogger(__name__)

_CLOSINGS: tuple[tuple[type[ApplicationError | DomainError], int], ...] = (
    (Revoked, REVOKED),
    (NotAuthenticated, INVALID_TOKEN),
    (NotAllowed, FORBIDDEN),
    (Invalid, BAD_REQUEST),
    (UnknownUser, BAD_REQUEST),
    (Unavailable, INTERNAL),
)


def closing(error: BaseException) -> Close:
    """The close for an error. One that is not expected is logged, and the client is told no details."""
    if isinstance(error, Close):
        return error
    if isinstance(error, Lagging):
        return Close(SLOW_READER, "the stream is read too slowly; resume by cursor")
    for known, code in _CLOSINGS:
        if isinstance(error, known):
            return Close(code, str(error))
    logger.error("a live session failed", exc_info=error)
    return Close(INTERNAL, "internal error")
