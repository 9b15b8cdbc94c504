"""An inbox that loads itself."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Self

from bellwire_client.events import Event, Json, Page, is_after
from bellwire_client.inbox import Inbox
from bellwire_client.marks import Marks
from bellwire_client.stream import Stream

_EMPTY = Page(items=(), next_cursor=None, cursor=".0", unread_count=0, unseen_count=0, unread_in={})


class LiveInbox(Inbox, Marks):
    """A user's inbox that loads a page, follows the feed, and loads again when it must.

    Enter it with `async with`, which loads the page and can raise Problem and Unreachable. Iterate over it
    for the events of the stream, each after it was applied. That raises what iterating over a stream does,
    and Problem or Unreachable if the page could not be loaded again; iterate again to try again.
    """

    def __init__(
        self, fetch: Callable[[str | None], Awaitable[Page]], follow: Callable[[str], Stream]
    ) -> None:
        super().__init__(_EMPTY)
        self._fetch = fetch
        self._follow = follow
        self._stale = False
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.load(await self._fetch(None))
        self._stream = await self._entered.enter_async_context(self._follow(self.cursor))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._entered.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        await self._freshen()
        event = await anext(self._stream)
        self._stale = not self.apply(event)
        await self._freshen()
        return event

    async def more(self) -> bool:
        """Load the next page. Return whether there was one. Raises Problem, Unreachable."""
        while (cursor := self.next_cursor) is not None:
            page = await self._fetch(cursor)
            # Events that were applied meanwhile may concern it, and a reload has pages of its own.
            if cursor == self.next_cursor and not is_after(self.cursor, page.cursor):
                self.add(page)
                return True
        return False

    async def seen(self) -> int:
        """The user opened the list: mark as seen what is unread, and return how many changed. Sends nothing
        if nothing is unseen. Raises as `mark_seen`.
        """
        return await self.mark_seen(up_to=self.cursor) if self.unseen_count else 0

    async def send(self, kind: str, arguments: Iterable[Json]) -> int:
        """Send a command on the stream."""
        return await self._stream.send(kind, arguments)

    async def _freshen(self) -> None:
        if self._stale:
            self.load(await self._fetch(None))
            self._stale = False
