"""Pages of a feed as they are sent, with rendered notifications."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NewType, TypeVar

from domain.feed import Feed
from domain.identifiers import NotificationId

T = TypeVar("T")

Rendered = NewType("Rendered", bytes)
"""A notification as JSON: the same bytes over HTTP, in a frame and in the index."""

PAGE_BYTES = 1024 * 1024
"""The most that the notifications of a page have together, unless one alone has more."""
ITEM_BYTES = 256 * 1024
"""A notification with more is not kept in the index. The rules of the domain allow about 60 KiB; rows of
earlier releases can have more."""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """Part of a view as it is sent, newest first, as of `feed.version`."""

    feed: Feed
    items: Sequence[Rendered]
    more: bool

    def first(self, limit: int) -> "RenderedPage":
        """Its first `limit` notifications, or fewer if they have more than PAGE_BYTES; but at least one."""
        fitting = bytes_so_far = 0
        for item in self.items[:limit]:
            bytes_so_far += len(item)
            if bytes_so_far > PAGE_BYTES and fitting:
                break
            fitting += 1
        return RenderedPage(self.feed, self.items[:fitting], self.more or fitting < len(self.items))


def rendered(feed: Feed, found: Iterable[T], render: Callable[[T], Rendered], *, more: bool) -> RenderedPage:
    """A page of what was found, rendered, up to the first that exceeds PAGE_BYTES."""
    items: list[Rendered] = []
    bytes_so_far = 0
    for item in found:
        if bytes_so_far > PAGE_BYTES:
            return RenderedPage(feed, items, more=True)
        items.append(render(item))
        bytes_so_far += len(items[-1])
    return RenderedPage(feed, items, more)


@dataclass(frozen=True, slots=True)
class Missing:
    """The index cannot answer. With a lease, the caller may load what it then reads from the store."""

    lease: str | None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """The index entry of a feed: the id and version of each notification, newest first."""

    feed: Feed
    held: tuple[tuple[NotificationId, int], ...]
    complete: bool
    """Whether it claims to hold every unread notification."""
