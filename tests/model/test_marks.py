"""I13 in memory."""

import asyncio

from application.ports import Feeds
from domain.identifiers import UserId
from tests.build import ADA, a_user
from tests.memory import MemoryFeeds, MemoryUsers
from tests.model.marks import walk


def empty_feed() -> tuple[Feeds, UserId]:
    users = MemoryUsers()
    asyncio.run(users.add(a_user(ADA), None))
    return MemoryFeeds(users), ADA


def test_counts_are_true_at_every_version() -> None:
    walk(empty_feed, examples=60)
