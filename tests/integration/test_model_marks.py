"""I13 in PostgreSQL."""

import asyncio
from itertools import count
from random import uniform
from secrets import token_hex

from adapters.postgres.engine import create_engine
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.users import PostgresUsers
from application.ports import Feeds
from domain.identifiers import UserId
from tests.build import a_user
from tests.model.marks import walk


def test_counts_are_true_at_every_version(postgres_url: str) -> None:
    numbers = count()
    with asyncio.Runner() as runner:
        engine = create_engine(postgres_url, pool_size=1, application="tests", jitter=uniform)
        users, feeds = PostgresUsers(engine, token_hex), PostgresFeeds(engine)

        def empty_feed() -> tuple[Feeds, UserId]:
            user = UserId(f"user-{next(numbers)}")
            runner.run(users.add(a_user(user), None))
            return feeds, user

        walk(empty_feed, runner.run, examples=15)
        runner.run(engine.dispose())
