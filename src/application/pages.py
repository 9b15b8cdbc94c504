"""Pages of a feed as they are sent: notifications that were rendered once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

from domain.feed import Feed
from domain.identifiers import NotificationId

Rendered = NewType("Rendered", bytes)
"""A notification as JSON: the same bytes over HTTP, in a frame and in the index."""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """Part of a view of a feed as it is sent: newest first, true for `feed.version`."""

    feed: Feed
    items: Sequence[Rendered]
    more: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """The index cannot answer. The holder of a lease may load what it reads from the store next."""

    lease: str | None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """The index entry of a feed: the id and version of each notification, newest first."""

    feed: Feed
    held: tuple[tuple[NotificationId, int], ...]
    complete: bool
    """Whether it claims to hold everything that is unread."""
