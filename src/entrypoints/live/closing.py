"""The close codes of errors that end a stream."""

import logging

from application.errors import ApplicationError, NotAllowed, NotAuthenticated, Revoked, Unavailable
from application.streams import Lagging, TooFast
from domain.errors import DomainError, Invalid, UnknownUser
from entrypoints.live.frames import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    INVALID_TOKEN,
    RATE_LIMITED,
    REVOKED,
    SLOW_READER,
    Close,
)

logger = logging.getLogger(__name__)

_CLOSE_CODES: tuple[tuple[type[ApplicationError | DomainError], int], ...] = (
    (Revoked, REVOKED),
    (NotAuthenticated, INVALID_TOKEN),
    (NotAllowed, FORBIDDEN),
    (Invalid, BAD_REQUEST),
    (UnknownUser, BAD_REQUEST),
    (Unavailable, INTERNAL),
)


def close_for(error: BaseException) -> Close:
    """The close for an error. An unexpected error is logged, and the client gets no details."""
    if isinstance(error, Close):
        return error
    if isinstance(error, Lagging):
        return Close(SLOW_READER, "the stream is read too slowly; resume by cursor")
    if isinstance(error, TooFast):
        return Close(RATE_LIMITED, "too many frames; slow down")
    for known, code in _CLOSE_CODES:
        if isinstance(error, known):
            return Close(code, str(error))
    logger.error("a live session failed", exc_info=error)
    return Close(INTERNAL, "internal error")
