"""Retracting, when the store goes away in the middle of it."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from application.delivery import MarkDue
from application.errors import Unavailable
from domain.feed import FeedChange, Marked
from domain.identifiers import NotificationId, UserId
from domain.states import Mark
from tests.build import ADA, BOB, LATER, NOW, TestClock, a_draft, a_user
from tests.memory import MemoryFeeds, MemoryUsers


class FailingFeeds(MemoryFeeds):
    """Goes away after the first mark."""

    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        marked = await super().mark(user, mark, ids, at, action=action)
        self.away = True
        return marked


class Told:
    def __init__(self) -> None:
        self.changes: list[FeedChange] = []

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        self.changes += changes


async def test_what_was_retracted_before_the_store_went_away_is_announced() -> None:
    users = MemoryUsers()
    for user in (ADA, BOB):
        await users.add(a_user(user), None)
    feeds, told, clock = FailingFeeds(users), Told(), TestClock()
    await feeds.append([a_draft(1, ADA, expires_at=NOW), a_draft(2, BOB, expires_at=LATER)])
    clock.at = LATER

    with pytest.raises(Unavailable):
        await MarkDue(feeds=feeds, announcer=told, clock=clock)()

    assert [change.feed.user_id for change in told.changes] == [ADA]
