"""Times and spans of time on the command line."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

_LONGEST = timedelta(days=36_525)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta | None:
    """The span of time that a text such as 30m, 2h or 3d names; None if it names none. Raises
    ArgumentTypeError if it is longer than 100 years.
    """
    named = re.fullmatch(r"([0-9]{1,6})([smhdw])", text, re.ASCII)
    if named is None:
        return None
    found = timedelta(**{_UNITS[named[2]]: int(named[1])})
    if found > _LONGEST:
        raise argparse.ArgumentTypeError("must be at most 100 years")
    return found


def time(text: str) -> datetime | None:
    """The time that an RFC 3339 text with a zone names; None if it names none."""
    try:
        found: datetime = msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        return None
    return found


def overlap(text: str) -> timedelta:
    """A span of time. Raises ArgumentTypeError."""
    found = span(text)
    if found is None:
        raise argparse.ArgumentTypeError("must be a span of time, such as 24h")
    return found


def expiry(text: str) -> datetime | timedelta:
    """A time, the first moment (UTC) of a date, or how long it is until then. Raises ArgumentTypeError."""
    found = span(text) or time(text) or time(f"{text}T00:00:00Z")
    if found is None:
        raise argparse.ArgumentTypeError(
            "must be a span of time, such as 90d, a date, or a time with a zone, such as 2026-11-22T10:00:00Z"
        )
    return found


def after(now: datetime, end: datetime | timedelta | None) -> datetime | None:
    """The end as a time, in UTC."""
    return now + end if isinstance(end, timedelta) else end and end.astimezone(UTC)


def clock_time(at: datetime) -> str:
    """The time of day, where this machine is."""
    return f"{at.astimezone():%H:%M:%S}"
