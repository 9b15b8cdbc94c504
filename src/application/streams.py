"""What travels to a live stream."""

from dataclasses import dataclass

from domain.identifiers import UserId


@dataclass(frozen=True, slots=True)
class Frame:
    """A change as it travels to streams, encoded once."""

    user_id: UserId
    epoch: str
    prev: int
    version: int
    text: str
    """The JSON of the frame; empty for a bare position: a client below its version has missed something."""
    unread_ids: tuple[str, ...] = ()
    """Ids of new notifications in it, for streams that mark as read what they deliver."""
    accepted_at: float | None = None
    """When the oldest notification in it was accepted (Unix seconds)."""


class Lagging(Exception):
    """The client reads too slowly. It must resume by cursor."""
