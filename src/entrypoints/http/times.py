"""Times in bodies."""

from datetime import datetime

import msgspec

from domain.errors import FieldError, Invalid
from entrypoints.web.schemas import Timestamp

_TIME_FORMAT_RULE = "must be a time with a zone, such as 2100-01-01T00:00:00Z (RFC 3339)"


def read_time(name: str, text: str) -> datetime:
    """The time in a field of this name. Raises Invalid."""
    try:
        time: datetime = msgspec.convert(text, Timestamp)
    except msgspec.ValidationError as error:
        raise Invalid([FieldError(name, _TIME_FORMAT_RULE)]) from error
    return time
