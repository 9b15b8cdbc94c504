"""Frames: changes as they are carried to live streams."""

from domain.identifiers import UserId
from domain.value import value


@value()
class Frame:
    """A change, encoded once for all streams."""

    user_id: UserId
    epoch: str
    prev: int
    version: int
    text: str
    """The JSON of the frame. Empty for a bare position: a client below its version has missed something."""
    unread_ids: tuple[str, ...] = ()
    """Ids of its new notifications, for streams that mark read what they deliver."""
    accepted_at: float | None = None
    """When the oldest notification in it was accepted (Unix seconds)."""


class Lagging(Exception):
    """The client reads too slowly. It must resume by cursor."""


class TooFast(Exception):
    """The client sends more frames than its pace allows."""
