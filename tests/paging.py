"""What changed in a feed, page by page, as a stream reads it."""

from collections.abc import AsyncIterator

from application.catching_up import CatchUps
from application.feeds import FeedHistory
from domain.feed import Cursor
from domain.identifiers import UserId


async def pages(
    catch_ups: CatchUps, user: UserId, after: int, at_least: Cursor
) -> AsyncIterator[FeedHistory]:
    """All pages after a version. Each is not older than the one before; one of another epoch is the last."""
    while True:
        page = await catch_ups.page(user, after, at_least)
        yield page
        if not page.more or page.feed.epoch != at_least.epoch:
            return
        after, at_least = page.notifications[-1].version, page.feed.cursor
