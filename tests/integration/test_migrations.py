"""The schema: as the migrations make it, and as time goes on."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import uniform
from secrets import token_hex

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import create_engine, driver
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.maintenance import PostgresMaintenance
from adapters.postgres.migrations import config, downgrade, is_ours, upgrade
from adapters.postgres.partitions import bound, count_strays, ensure_partitions, months
from adapters.postgres.rows import where
from adapters.postgres.tables import metadata
from adapters.postgres.users import PostgresUsers
from application.errors import Unavailable
from common import metrics
from domain.states import RULES, UNREAD, VISIBLE, Condition, Mark
from tests.build import ADA, LATER, NOW, TestClock, a_draft, a_user, an_id
from tests.conftest import Databases, in_thread
from tests.contracts import history_of
from workbench.programs import POSTGRES_URL

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = datetime(2031, 7, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def bare_url(databases: Databases) -> Iterator[str]:
    """A database without anything in it."""
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture
async def bare(bare_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(bare_url, pool_size=4, application="tests", jitter=uniform)
    yield engine
    await engine.dispose()


async def differences(engine: AsyncEngine) -> list[object]:
    """Between the database and the tables of the code."""

    def compare(connection: Connection) -> list[object]:
        options = {"include_object": is_ours, "compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with engine.connect() as connection:
        return await connection.run_sync(compare)


async def tables(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda inside: inspect(inside).get_table_names()))


async def test_every_revision_goes_up_down_and_up_again(bare_url: str, bare: AsyncEngine) -> None:
    script = ScriptDirectory.from_config(config(bare_url))
    revisions = [revision.revision for revision in script.walk_revisions()][::-1]

    for revision in revisions:
        before = await tables(bare)
        await asyncio.to_thread(in_thread, lambda to=revision: upgrade(bare_url, to))  # type: ignore[misc]
        await asyncio.to_thread(in_thread, lambda: downgrade(bare_url, "-1"))
        assert await tables(bare) - {"alembic_version"} == before - {"alembic_version"}
        await asyncio.to_thread(in_thread, lambda to=revision: upgrade(bare_url, to))  # type: ignore[misc]

    assert await differences(bare) == []


async def test_partitions_made_by_the_service_are_no_drift_and_go_down_with_the_rest(
    bare_url: str, bare: AsyncEngine
) -> None:
    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url))
    await ensure_partitions(bare, NOW)

    assert await differences(bare) == []
    await asyncio.to_thread(in_thread, lambda: downgrade(bare_url, "base"))
    assert await tables(bare) == {"alembic_version"}


async def test_a_column_that_is_missing_is_noticed(bare_url: str, bare: AsyncEngine) -> None:
    """Or the tests above would say nothing."""
    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url))
    async with bare.begin() as connection:
        await connection.execute(text("ALTER TABLE notifications DROP COLUMN seen_at"))

    assert len(await differences(bare)) == 1


def conjuncts(predicate: str) -> set[str]:
    """The parts of a condition, without what a server adds to it."""
    return {part.strip("() ").rpartition(".")[2] for part in predicate.split(" AND ")}


async def test_the_partial_indexes_hold_what_the_domain_says(bare_url: str, bare: AsyncEngine) -> None:
    """`differences` looks at no predicate. With another one the index would serve no list."""
    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url))
    async with driver(bare) as connection:
        rows = await connection.fetch(
            "SELECT indexrelid::regclass::text AS name, pg_get_expr(indpred, indrelid) AS predicate "
            "FROM pg_index WHERE indpred IS NOT NULL AND indrelid = 'notifications'::regclass"
        )

    assert {row["name"]: conjuncts(row["predicate"]) for row in rows} == {
        "notifications_unread_idx": conjuncts(where(UNREAD)),
        "notifications_expiring_idx": conjuncts(where(RULES[Mark.RETRACTED].waiting)),
        "notifications_collapse_idx": {
            "collapse_key IS NOT NULL",
            *conjuncts(where(VISIBLE & Condition(lacks=("archived_at",)))),
        },
    }
    assert {
        index.name: conjuncts(str(index.dialect_options["postgresql"]["where"]))
        for index in metadata.tables["notifications"].indexes
    } == {row["name"]: conjuncts(row["predicate"]) for row in rows}


async def test_several_processes_may_migrate_at_once(bare_url: str, bare: AsyncEngine) -> None:
    command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head"]
    started = [
        await asyncio.create_subprocess_exec(*command, env={**os.environ, POSTGRES_URL: bare_url}, cwd=ROOT)
        for _ in range(3)
    ]

    assert [await process.wait() for process in started] == [0, 0, 0]
    assert await differences(bare) == []


@pytest.mark.parametrize("hosts", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:1"])
async def test_a_server_that_is_away_is_a_reason_and_no_trace(hosts: str) -> None:
    query = "&".join(f"host={host}" for host in hosts.split(","))

    with pytest.raises(Unavailable, match=r"^PostgreSQL is out of reach: .*Connection refused$"):
        await asyncio.to_thread(in_thread, lambda: upgrade(f"postgresql+asyncpg://nobody@/none?{query}"))


async def test_what_is_at_head_stays_as_it_is(bare_url: str, bare: AsyncEngine) -> None:
    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url))
    await PostgresUsers(bare, token_hex).add(a_user(ADA), None)

    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url))

    assert (await PostgresUsers(bare, token_hex).get(ADA)).id == ADA


async def test_who_was_disabled_before_there_was_a_command_is_found(bare_url: str, bare: AsyncEngine) -> None:
    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url, "0001"))
    async with bare.begin() as connection:
        add = "INSERT INTO users (id, name, created_at, disabled_at) VALUES "
        add += "('ada', 'A', :at, :at), ('bob', 'B', :at, NULL)"
        await connection.execute(text(add), {"at": NOW})

    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url))

    (found,) = (await PostgresUsers(bare, token_hex).revocations(None)).revocations
    assert (found.user_id, found.disabled) == (ADA, True)


async def test_what_earlier_releases_stored_is_counted_by_category(bare_url: str, bare: AsyncEngine) -> None:
    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url, "0006"))
    await PostgresUsers(bare, token_hex).add(a_user(ADA), None)
    rows = [("comment.created", None), ("comment.liked", None), (".", None), ("x" * 100, NOW)]
    async with driver(bare) as connection:
        for number, (event, read_at) in enumerate(rows, 1):
            await connection.execute(OLD_INSERT, an_id(number), number, event, NOW, read_at)
        await connection.execute("UPDATE feeds SET version = 4, unread_count = 3")

    await asyncio.to_thread(in_thread, lambda: upgrade(bare_url))

    feeds = PostgresFeeds(bare)
    feed = await feeds.feed(ADA)
    assert (feed.unread_count, feed.unseen_count) == (3, 3)
    assert feed.unread_in == {"comment": 2, "other": 1}
    read = await feeds.get(ADA, an_id(4))
    assert (read.category, read.seen_at) == ("x" * 64, NOW)
    assert json.loads(read.metadata.text) == {"a": {"c": None}, "b": [1, "ž"]}


OLD_INSERT = """
INSERT INTO notifications (user_id, id, version, event, message, metadata, created_at, read_at)
SELECT 'ada', $1, $2, $3, 'm', '{"b": [1, "ž"], "a": {"c": null}}'::jsonb, $4, $5
"""


# --- partitions ---


@pytest.fixture
async def fresh(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """A migrated database of the test's own: partitions outlive a truncation."""
    engine = create_engine(postgres_url, pool_size=8, application="tests", jitter=uniform)
    yield engine
    await engine.dispose()


async def partition_of(engine: AsyncEngine, number: int, at: datetime) -> str:
    """Where a notification is stored."""
    async with engine.connect() as connection:
        query = text("SELECT tableoid::regclass::text FROM notifications WHERE id = :id")
        return str(await connection.scalar(query, {"id": an_id(number, at)}))


async def test_partitions_are_made_ahead_and_making_them_again_changes_nothing(fresh: AsyncEngine) -> None:
    at = datetime(2029, 11, 30, 23, 59, 59, tzinfo=UTC)
    before = await tables(fresh)

    await ensure_partitions(fresh, at)
    made = await tables(fresh) - before
    await ensure_partitions(fresh, at)

    assert made == {f"notifications_{month}" for month in ("2029_11", "2029_12", "2030_01", "2030_02")}
    assert await tables(fresh) - before == made


async def test_many_processes_may_make_partitions_at_once(fresh: AsyncEngine) -> None:
    await asyncio.gather(*(ensure_partitions(fresh, OUTSIDE) for _ in range(6)))

    assert "notifications_2031_10" in await tables(fresh)


@pytest.mark.parametrize(
    ("at", "partition"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), "notifications_2026_03"),
        (datetime(2026, 3, 31, 23, 59, 59, 999000, tzinfo=UTC), "notifications_2026_03"),
        (datetime(2026, 4, 1, tzinfo=UTC), "notifications_2026_04"),
        (datetime(1970, 1, 1, tzinfo=UTC), "notifications_default"),
        (OUTSIDE, "notifications_default"),
    ],
)
async def test_a_notification_is_stored_in_the_month_of_its_id(
    fresh: AsyncEngine, at: datetime, partition: str
) -> None:
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)

    await PostgresFeeds(fresh).append([a_draft(1, at=at)])

    assert await partition_of(fresh, 1, at) == partition
    assert await count_strays(fresh) == (partition == "notifications_default")


async def test_a_stray_is_counted_and_as_good_as_any_other(fresh: AsyncEngine) -> None:
    feeds = PostgresFeeds(fresh)
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)
    await feeds.append([a_draft(1, at=OUTSIDE), a_draft(2)])

    await PostgresMaintenance(fresh, TestClock()).prepare()
    marked = await feeds.mark(ADA, Mark.READ, [an_id(1, OUTSIDE), an_id(2)], LATER)

    assert metrics.STRAYS._value.get() == 1
    assert marked.changed == 2


async def test_strays_move_into_their_partition_when_it_is_made(fresh: AsyncEngine) -> None:
    feeds = PostgresFeeds(fresh)
    await PostgresUsers(fresh, token_hex).add(a_user(ADA), None)
    after = OUTSIDE + timedelta(days=400)
    await feeds.append([a_draft(1, at=OUTSIDE), a_draft(2, at=after)])
    stored = await history_of(feeds, ADA, 0, 10)

    await ensure_partitions(fresh, OUTSIDE)

    assert await partition_of(fresh, 1, OUTSIDE) == "notifications_2031_07"
    assert await count_strays(fresh) == 1
    assert await history_of(feeds, ADA, 0, 10) == stored
    assert (await feeds.mark(ADA, Mark.READ, [an_id(1, OUTSIDE)], LATER)).changed == 1
    assert await differences(fresh) == []


@pytest.mark.parametrize("partition", ["notifications_2031_07", "notifications_default"])
async def test_no_partition_takes_a_version_twice(fresh: AsyncEngine, partition: str) -> None:
    await ensure_partitions(fresh, OUTSIDE)

    async with fresh.connect() as connection:
        indexes = await connection.run_sync(lambda inside: inspect(inside).get_indexes(partition))

    assert any(index["unique"] and index["column_names"] == ["user_id", "version"] for index in indexes)


def test_months_follow_each_other_over_the_turn_of_the_year() -> None:
    assert months(datetime(2026, 11, 30, tzinfo=UTC)) == [(2026, 11), (2026, 12), (2027, 1), (2027, 2)]


def test_the_bound_of_a_month_is_below_every_id_of_it() -> None:
    first = datetime(2026, 3, 1, tzinfo=UTC)

    assert bound(2026, 3) < an_id(0, first)
    assert bound(2026, 3) > an_id(999_999, first - timedelta(milliseconds=1))
