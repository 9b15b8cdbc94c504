"""Whatever arrives in whatever order, the store in memory ends as the sequential model."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings

from domain.identifiers import NotificationId, UserId
from tests.build import a_user
from tests.memory import MemoryFeeds, MemoryUsers
from tests.model.arriving import LIVES, Life, Step

USER = UserId("somebody")


@settings(max_examples=150, derandomize=True, deadline=None)
@given(LIVES)
def test_the_feed_is_what_the_sequential_model_says(steps: Sequence[Step]) -> None:
    asyncio.run(_live(steps))


async def _live(steps: Sequence[Step]) -> None:
    users = MemoryUsers()
    await users.add(a_user(USER), None)
    feeds = MemoryFeeds(users)

    async def read_withheld() -> Sequence[tuple[UserId, NotificationId]]:
        return [(one.user_id, one.id) for one in feeds.withheld]

    life = Life(
        user=USER,
        feeds=feeds,
        preferences=feeds,
        categories=feeds.categories,
        read_withheld=read_withheld,
    )
    await life.play(steps)
