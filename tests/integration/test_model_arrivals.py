"""Whatever arrives in whatever order, PostgreSQL ends as the sequential model."""

import asyncio
from collections.abc import Sequence
from itertools import count
from random import uniform
from secrets import token_hex

from hypothesis import HealthCheck, given, settings
from sqlalchemy import text

from adapters.postgres.categories import PostgresCategories
from adapters.postgres.engine import create_engine, driver
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.preferences import PostgresPreferences
from adapters.postgres.users import PostgresUsers
from domain.identifiers import NotificationId, UserId
from tests.build import a_user
from tests.model.arriving import LIVES, Life, Step

USERS = (UserId(f"user-{number}") for number in count())


@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(LIVES)
def test_the_feed_is_what_the_sequential_model_says(shared_url: str, steps: Sequence[Step]) -> None:
    asyncio.run(_live(shared_url, steps))


async def _live(url: str, steps: Sequence[Step]) -> None:
    """With a user of its own; the categories are everybody's."""
    engine, user = create_engine(url, pool_size=1, application="tests", jitter=uniform), next(USERS)

    async def read_withheld() -> Sequence[tuple[UserId, NotificationId]]:
        async with driver(engine) as connection:
            rows = await connection.fetch("SELECT user_id, id FROM withheld WHERE user_id = $1", user)
        return [(row["user_id"], row["id"]) for row in rows]

    try:
        await PostgresUsers(engine, token_hex).add(a_user(user), None)
        async with engine.begin() as connection:
            await connection.execute(text("TRUNCATE categories"))
        life = Life(
            user=user,
            feeds=PostgresFeeds(engine),
            preferences=PostgresPreferences(engine),
            categories=PostgresCategories(engine),
            read_withheld=read_withheld,
        )
        await life.play(steps)
    finally:
        await engine.dispose()
