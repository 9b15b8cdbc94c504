"""What the rules accept, the store takes: nothing that was answered with 202 may be refused later."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import count
from random import uniform
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import create_engine
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.users import PostgresUsers
from common import wire
from domain.errors import Invalid
from domain.notification import EARLIEST, LATEST, Draft
from tests.build import ADA, NOW, a_draft, a_user

EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))


@pytest.mark.parametrize(
    "time",
    [
        EARLIEST,
        LATEST,
        EARLIEST + timedelta(microseconds=1),
        (EARLIEST + timedelta(days=1)).astimezone(WEST),
        LATEST.astimezone(WEST),
        (LATEST - timedelta(days=1)).astimezone(EAST),
        NOW.astimezone(EAST),
    ],
    ids=str,
)
async def test_every_time_that_the_rules_let_pass_is_stored_as_it_is(
    engine: AsyncEngine, time: datetime
) -> None:
    """One that PostgreSQL refuses is lost; one that it takes for infinity comes back without a zone."""
    feeds = PostgresFeeds(engine)
    await PostgresUsers(engine, token_hex).add(a_user(ADA), None)
    draft = a_draft(at=time, expires_at=time)

    (added,) = (await feeds.append([draft])).added

    stored = await feeds.get(ADA, draft.id)
    assert (stored.created_at, stored.expires_at) == (time, time)
    assert wire.encode(stored) == wire.encode(added.notifications[0])


ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(timezones=ZONES) | st.sampled_from([EARLIEST, LATEST])
TEXTS = st.text(max_size=30) | st.sampled_from(["x" * 4_000, "🏳️‍🌈" * 600, "\ufdfa", "\uffff", "\U0010ffff"])
NUMBERS = st.floats() | st.integers(-(10**400), 10**400) | st.sampled_from([-0.0, 5e-324, 1.7e308, 2**63])
METADATA = st.dictionaries(
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=8,
    ),
    max_size=4,
)
SAID = st.fixed_dictionaries(
    {"at": TIMES, "message": TEXTS},
    optional={
        "title": TEXTS,
        "metadata": METADATA,
        "expires_at": TIMES,
        "action_url": TEXTS.map(lambda text: f"/{text}"),
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SAID, min_size=10, max_size=40))
def test_whatever_the_rules_accept_is_stored(shared_url: str, said: Sequence[Mapping[str, Any]]) -> None:
    drafts = []
    for fields in said:
        try:
            drafts.append(a_draft(next(NUMBERED), **fields))
        except Invalid:
            continue

    assert asyncio.run(_stored(shared_url, drafts)) == len(drafts)


NUMBERED = count(1_000)


async def _stored(url: str, drafts: Sequence[Draft]) -> int:
    engine = create_engine(url, pool_size=1, application="tests", jitter=uniform)
    try:
        users = PostgresUsers(engine, token_hex)
        if not await users.known([ADA]):
            await users.add(a_user(ADA), None)
        added = (await PostgresFeeds(engine).append(drafts)).added
        return sum(len(change.notifications) for change in added)
    finally:
        await engine.dispose()
