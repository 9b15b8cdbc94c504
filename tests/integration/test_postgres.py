"""The promises of the ports, on PostgreSQL; and what only PostgreSQL can get wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import uniform
from secrets import token_hex
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import feeds as statements
from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.categories import PostgresCategories
from adapters.postgres.directory import WALK, PostgresDirectory
from adapters.postgres.engine import create_engine, driver
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.maintenance import PostgresMaintenance
from adapters.postgres.mark import by_ids, up_to
from adapters.postgres.preferences import PostgresPreferences
from adapters.postgres.revoked_tokens import PostgresRevokedTokens
from adapters.postgres.users import _REVOCATIONS, PostgresUsers
from application.catching_up import CatchUps
from application.credentials import ApiKey, Claims, RevokedToken
from application.directory import UserSearch
from application.errors import Refused, Unavailable
from application.feeds import FeedHistory, MarkRequest, Standing
from application.revoking import Revocations
from common import metrics
from domain.arrivals import Arrival, Reason
from domain.category import CATEGORIES, OTHER, Category
from domain.feed import Cursor
from domain.identifiers import UserId
from domain.metadata import Metadata
from domain.notification import EARLIEST, Retraction
from domain.states import Mark, Rule, Status, To
from tests import arrival_contracts, contracts, store
from tests.build import ADA, BOB, LATER, NOW, TestClock, a_draft, a_user, an_id, drafts
from tests.documents import NASTY
from tests.paging import pages
from tests.product import eventually

NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"


@pytest.fixture
async def closed_door() -> AsyncIterator[AsyncEngine]:
    """An engine for a server that is not there."""
    engine = create_engine(NOWHERE, pool_size=1, application="tests", jitter=uniform)
    yield engine
    await engine.dispose()


class TestPostgresFeeds(contracts.FeedsContract):
    pass


class TestPostgresArrivals(arrival_contracts.ArrivalsContract):
    @pytest.fixture
    def preferences(self, engine: AsyncEngine) -> PostgresPreferences:
        return PostgresPreferences(engine)

    @pytest.fixture
    def categories(self, engine: AsyncEngine) -> PostgresCategories:
        return PostgresCategories(engine)

    @pytest.fixture
    def read_withheld(self, engine: AsyncEngine) -> arrival_contracts.ReadWithheld:
        async def read() -> arrival_contracts.Withheld:
            async with driver(engine) as connection:
                rows = await connection.fetch("SELECT user_id, id, reason, event, category FROM withheld")
            return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}

        return read

    @pytest.mark.parametrize("content", [{}, {"collapse_key": "post"}], ids=["plain", "judged"])
    @pytest.mark.parametrize("wanted", [True, False], ids=["switched on", "switched off"])
    async def test_a_choice_of_the_last_moment_counts(
        self, inbox: arrival_contracts.Inbox, engine: AsyncEngine, content: dict[str, Any], *, wanted: bool
    ) -> None:
        """It is read under the lock: whoever held that before may have changed it."""
        old, new = ("{comment}", "{}") if wanted else ("{}", "{comment}")
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE feeds SET muted = '{old}' WHERE user_id = 'ada'"))
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE feeds SET muted = '{new}' WHERE user_id = 'ada'"))
            storing = asyncio.create_task(inbox.take(a_draft(**content), a_draft(2, BOB)))
            await eventually(lambda: _waits_for_a_lock(engine), "it waits")

        stored = await storing

        assert bool(await inbox.shown()) is wanted
        assert [one.reason for one in stored.withheld] == ([] if wanted else [Reason.PREFERENCE])
        assert len(await inbox.shown(BOB)) == 1

    async def test_a_batch_that_ended_between_its_transactions_is_told_whole(
        self, inbox: arrival_contracts.Inbox, engine: AsyncEngine
    ) -> None:
        """What is plain is stored first. The consumer dies while the rest waits, and nothing was told."""
        batch: list[Arrival] = [
            a_draft(1, message="plain"),
            a_draft(2, BOB, collapse_key="post"),
            Retraction(BOB, an_id(3)),
        ]
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1 FROM feeds WHERE user_id = 'bob' FOR NO KEY UPDATE"))
            dying = asyncio.create_task(inbox.feeds.append(batch, NOW))
            await eventually(lambda: _waits_for_a_lock(engine), "it waits")
            dying.cancel()
            await asyncio.wait([dying])
            assert len(await contracts.everything(inbox.feeds)) == 1
            assert await contracts.everything(inbox.feeds, BOB) == ()

        told = await inbox.feeds.append(batch, NOW)

        # Of Ada's feed a bare position: whoever follows it reads the rest.
        assert [settled.feed for settled in told.present] == [await inbox.feeds.feed(ADA)]
        assert [[item.id for item in added.notifications] for added in told.added] == [[an_id(2)]]
        assert [one.id for one in told.withheld] == [an_id(3)]
        again = await inbox.feeds.append(batch, NOW)
        assert (again.added, again.changed, again.withheld) == ((), (), ())
        assert {settled.feed.user_id: settled.feed.version for settled in again.present} == {ADA: 1, BOB: 1}


class TestPostgresPreferences(contracts.PreferencesContract):
    @pytest.fixture
    def preferences(self, engine: AsyncEngine) -> PostgresPreferences:
        return PostgresPreferences(engine)

    async def test_a_choice_waits_for_whoever_changes_the_feed(
        self, engine: AsyncEngine, preferences: PostgresPreferences
    ) -> None:
        """Which of the two came first is decided by the lock, and by nothing that was read before it."""
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1 FROM feeds WHERE user_id = 'ada' FOR NO KEY UPDATE"))
            choosing = asyncio.create_task(preferences.choose(ADA, {"billing": False}))
            await eventually(lambda: _waits_for_a_lock(engine), "it waits")
            await connection.execute(
                text("UPDATE feeds SET version = 5, muted = '{news}', wanted = '{billing}'")
            )

        chosen = await choosing

        assert (chosen.prev, chosen.feed.version, chosen.feed.preferences_version) == (5, 6, 6)
        assert (await preferences.choices(ADA))[1] == {"billing": False, "news": False}


async def _waits_for_a_lock(engine: AsyncEngine) -> bool:
    async with driver(engine) as connection:
        waiting = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    return bool(waiting)


class TestPostgresUsers(contracts.UsersContract):
    pass


class TestPostgresDirectory(contracts.DirectoryContract):
    @pytest.fixture(params=[WALK, 2])
    def directory(self, engine: AsyncEngine, request: pytest.FixtureRequest) -> PostgresDirectory:
        """One that looks for a name in so many users at a time."""
        return PostgresDirectory(engine, token_hex, walk=request.param)


class TestPostgresRevokedTokens(contracts.RevokedTokensContract):
    @pytest.fixture
    def revoked_tokens(self, engine: AsyncEngine) -> PostgresRevokedTokens:
        return PostgresRevokedTokens(engine, page=2)

    async def test_many_are_read_in_pages(self, revoked_tokens: PostgresRevokedTokens) -> None:
        for number in range(7):
            await revoked_tokens.add(RevokedToken(str(number), self.FAR))

        assert set(await self.found(revoked_tokens)) == set("0123456")


class TestPostgresApiKeys(store.ApiKeysInPostgres):
    pass


async def test_an_edit_keeps_the_expiry_of_the_category_that_is_stored(
    engine: AsyncEngine, users: PostgresUsers, feeds: PostgresFeeds
) -> None:
    await PostgresCategories(engine).set(Category(id="comment", expires_after=timedelta(days=7)))
    await users.add(a_user(ADA), None)
    original = a_draft(1, category="comment")
    await feeds.append([original], NOW)

    await feeds.append(
        [replace(original, revision=1, content=replace(original.content, category="billing"))], NOW
    )

    edited = await feeds.get(ADA, original.id)
    assert (edited.revision, edited.category) == (1, "comment")
    assert edited.expires_at == NOW + timedelta(days=7)


class TestPostgresCategories(store.CategoriesInPostgres):
    async def test_processes_that_enter_at_once_exceed_nothing_together(self, engine: AsyncEngine) -> None:
        processes = [PostgresCategories(engine) for _ in range(8)]
        parts = [[f"{part}-{number}" for number in range(12)] for part in range(8)]

        stored = await asyncio.gather(
            *(process.enter(part) for process, part in zip(processes, parts, strict=True))
        )

        held = {one.id for one in await PostgresCategories(engine).all()}
        assert len(held) == CATEGORIES + 1
        assert {category for part in stored for category in part.values()} == held

    async def test_what_is_remembered_is_not_asked_for_again(
        self, engine: AsyncEngine, categories: PostgresCategories
    ) -> None:
        names = ["comment", "billing"]
        await categories.enter(names)
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE categories"))

            async with asyncio.timeout(30):
                assert await categories.enter(names) == {name: name for name in names}

    async def test_once_there_are_too_many_nothing_is_asked_and_it_is_said_once(
        self, engine: AsyncEngine, categories: PostgresCategories, caplog: pytest.LogCaptureFixture
    ) -> None:
        await categories.enter([f"c{number}" for number in range(CATEGORIES)])
        before = metrics.OTHER_CATEGORY._value.get()
        assert not caplog.records
        await categories.enter(["late", "c1"])
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE categories"))

            async with asyncio.timeout(30):
                assert await categories.enter(["later", "late"]) == {"later": OTHER, "late": OTHER}

        assert metrics.OTHER_CATEGORY._value.get() == before + 3
        (said,) = caplog.records
        assert "64 categories" in said.message


# --- data that it will never take ---


async def test_a_draft_that_it_refuses_spoils_its_batch_and_nothing_is_stored(
    feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    await users.add(a_user(ADA), None)
    refused = a_draft(2)
    object.__setattr__(refused.content, "message", "past the rules \x00")

    with pytest.raises(Refused) as caught:
        await feeds.append([a_draft(1), refused, a_draft(3)])

    assert caught.value.code.startswith("22")
    assert (await feeds.feed(ADA)).version == 0
    assert "past the rules" not in caught.value.detail


async def test_metadata_comes_back_as_it_was_sent(feeds: PostgresFeeds, users: PostgresUsers) -> None:
    """Numbers, the order of keys, keys given twice and escapes: a type of JSON would change them."""
    await users.add(a_user(ADA), None)

    await feeds.append([a_draft(number, metadata=Metadata.of(text)) for number, text in enumerate(NASTY)])

    ids = [an_id(number) for number in range(len(NASTY))]
    for found in (
        [await feeds.get(ADA, notification) for notification in ids],
        (await feeds.page(ADA, Status.UNREAD, limit=100)).notifications[::-1],
        (await contracts.history_of(feeds, ADA, 0, 100)).notifications,
        (await feeds.mark(ADA, Mark.READ, ids, LATER)).notifications or (),
    ):
        assert [item.metadata.text for item in found] == NASTY


async def test_text_comes_back_as_it_was_sent(feeds: PostgresFeeds, users: PostgresUsers) -> None:
    """Also what means something in the text of an array, which is how most columns are sent."""
    await users.add(a_user(ADA), None)
    odd = [
        '{"a","b"}',
        r'say "\"',
        "\\",
        "a,b",
        "NULL",
        " {} ",
        "1\n2\r\t\x01\x7f",
        r"\n\u0041",
        "é👩‍👧\u2028",
    ]

    await feeds.append([a_draft(nth, message=text, title=text) for nth, text in enumerate(odd)])

    found = (await contracts.history_of(feeds, ADA, 0, 100)).notifications
    assert [(item.message, item.title) for item in found] == [(text, text) for text in odd]


async def test_times_and_ids_come_back_to_the_microsecond(feeds: PostgresFeeds, users: PostgresUsers) -> None:
    await users.add(a_user(ADA), None)
    zones = [
        timezone(timedelta(hours=5, minutes=45)),
        timezone(timedelta(hours=23)),
        timezone(timedelta(hours=-17)),
    ]
    times = [
        NOW.replace(microsecond=123_457),
        NOW.replace(microsecond=0),
        *map(NOW.astimezone, zones),
        EARLIEST,
    ]

    await feeds.append([replace(a_draft(nth), created_at=time) for nth, time in enumerate(times)])

    found = (await contracts.history_of(feeds, ADA, 0, 100)).notifications
    assert [(item.id, item.created_at) for item in found] == [(an_id(nth), t) for nth, t in enumerate(times)]


# --- marks ---


@pytest.mark.parametrize("by", ["ids", "up_to"])
async def test_of_a_mark_that_comes_with_a_time_the_last_one_stays(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers, by: str
) -> None:
    """No mark of this release does. The statement is made as for one that hides what it marks."""
    rule = Rule("archived_at", To.GIVEN)
    await users.add(a_user(ADA), None)
    await feeds.append([a_draft(1)])
    epoch = (await feeds.feed(ADA)).epoch
    chosen: list[Any] = [[ADA], [an_id(1)]] if by == "ids" else [9, epoch]
    statement = by_ids(rule) if by == "ids" else up_to(rule)
    counts, versions = [], []
    async with driver(engine) as connection:
        for time in (LATER, LATER, NOW):
            assert rule.value(time) == time
            value: list[Any] = [[time]] if by == "ids" else [time, None]
            row = await connection.fetchrow(statement, [ADA], *chosen, *value)
            counts.append(row["feed_unread_count"])
            versions.append(row["feed_version"])

    assert (counts, versions) == ([0, 0, 0], [2, 2, 3])
    assert (await feeds.get(ADA, an_id(1))).archived_at == NOW


async def test_an_opening_with_nothing_new_writes_nothing(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    await users.add(a_user(ADA), None)
    await feeds.append([a_draft(1)])
    opened = await contracts.mark_up_to(feeds, Mark.SEEN, 1, NOW)

    async def row() -> tuple[Any, ...]:
        """Where the row is, and who wrote or locked it last."""
        async with driver(engine) as connection:
            return tuple(
                await connection.fetchrow("SELECT ctid, xmin, xmax FROM feeds WHERE user_id = 'ada'")
            )

    before = await row()
    again = await contracts.mark_up_to(feeds, Mark.SEEN, 99, LATER)

    assert (again.changed, again.feed, again.notifications) == (0, opened.feed, ())
    assert await row() == before


@asynccontextmanager
async def held_lock(engine: AsyncEngine, statement: str, *arguments: Any) -> AsyncIterator[None]:
    """A transaction of somebody else that holds a lock."""
    async with driver(engine) as connection, connection.transaction():
        await connection.fetch(statement, *arguments)
        yield


LOCK_FEED = "SELECT FROM feeds WHERE user_id = $1 FOR NO KEY UPDATE"
LOCK_NOTIFICATION = "SELECT FROM notifications WHERE user_id = $1 FOR NO KEY UPDATE"


@pytest.fixture
async def ada_and_bob(feeds: PostgresFeeds, users: PostgresUsers) -> Sequence[MarkRequest]:
    """One notification of each is to be marked."""
    for user in (ADA, BOB):
        await users.add(a_user(user), None)
        await feeds.append([a_draft(1, user)])
    return [MarkRequest(user, [an_id(1)], LATER) for user in (ADA, BOB)]


async def test_a_user_whose_feed_is_locked_holds_up_nobody(
    engine: AsyncEngine, feeds: PostgresFeeds, ada_and_bob: Sequence[MarkRequest]
) -> None:
    async with held_lock(engine, LOCK_FEED, ADA):
        made = await feeds.mark_together(Mark.READ, ada_and_bob)

        assert {user: marked.changed for user, marked in made.items()} == {BOB: 1}
    assert [(await feeds.feed(user)).unread_count for user in (ADA, BOB)] == [1, 0]


async def test_a_notification_that_is_locked_without_its_feed_holds_up_nobody(
    engine: AsyncEngine, feeds: PostgresFeeds, ada_and_bob: Sequence[MarkRequest]
) -> None:
    async with held_lock(engine, LOCK_NOTIFICATION, ADA):
        assert await feeds.mark_together(Mark.READ, ada_and_bob) == {}

    assert [(await feeds.feed(user)).unread_count for user in (ADA, BOB)] == [1, 1]


# --- a server that is not there ---


@pytest.mark.parametrize(
    "ask",
    [
        lambda engine: PostgresFeeds(engine).append([a_draft()]),
        lambda engine: PostgresFeeds(engine).mark(ADA, Mark.READ, [an_id()], NOW),
        lambda engine: PostgresFeeds(engine).mark_up_to(ADA, Mark.READ, Cursor("e1", 1), NOW),
        lambda engine: PostgresFeeds(engine).mark_together(Mark.READ, [MarkRequest(ADA, [an_id()], NOW)]),
        lambda engine: PostgresFeeds(engine).feed(ADA),
        lambda engine: PostgresFeeds(engine).get(ADA, an_id()),
        lambda engine: PostgresFeeds(engine).standings([ADA]),
        lambda engine: PostgresFeeds(engine).histories([(ADA, 0)], 1),
        lambda engine: PostgresFeeds(engine).due(Mark.RETRACTED, NOW, 1),
        lambda engine: PostgresUsers(engine, token_hex).add(a_user(), None),
        lambda engine: PostgresUsers(engine, token_hex).get(ADA),
        lambda engine: PostgresUsers(engine, token_hex).known([ADA]),
        lambda engine: PostgresUsers(engine, token_hex).credentials(["ada@example.com"]),
        lambda engine: PostgresUsers(engine, token_hex).has_address("ada@example.com"),
        lambda engine: PostgresUsers(engine, token_hex).renew(
            a_user(), "a hash", "ada@example.com", "another"
        ),
        lambda engine: PostgresUsers(engine, token_hex).disable(ADA),
        lambda engine: PostgresUsers(engine, token_hex).enable(ADA),
        lambda engine: PostgresUsers(engine, token_hex).revoke_tokens(ADA),
        lambda engine: PostgresUsers(engine, token_hex).revocations(None),
        lambda engine: PostgresDirectory(engine, token_hex).create([ADA], NOW),
        lambda engine: PostgresDirectory(engine, token_hex).page(UserSearch(), 1),
        lambda engine: PostgresCategories(engine).enter(["comment"]),
        lambda engine: PostgresCategories(engine).all(),
        lambda engine: PostgresCategories(engine).set(Category(id="comment")),
        lambda engine: PostgresPreferences(engine).choices(ADA),
        lambda engine: PostgresPreferences(engine).choose(ADA, {"comment": False}),
        lambda engine: PostgresApiKeys(engine).get("key"),
        lambda engine: PostgresApiKeys(engine).all(),
        lambda engine: PostgresApiKeys(engine).revoke("key", NOW),
        lambda engine: PostgresMaintenance(engine, TestClock()).ping(),
        lambda engine: PostgresMaintenance(engine, TestClock()).prepare(),
    ],
)
async def test_a_server_that_is_away_is_unavailable_at_once(
    closed_door: AsyncEngine, ask: Callable[[AsyncEngine], Any]
) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await ask(closed_door)


async def test_a_connection_that_the_server_ended_is_replaced(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    await users.add(a_user(ADA), None)
    await feeds.append(drafts(1))
    async with engine.connect() as connection:
        ended = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await connection.execute(text(ended))
        outcomes = await asyncio.gather(
            *(feeds.append(drafts(1, first=n)) for n in range(2, 6)), return_exceptions=True
        )

    assert all(isinstance(outcome, Unavailable) or not isinstance(outcome, Exception) for outcome in outcomes)
    await feeds.append(drafts(6))
    assert (await feeds.feed(ADA)).unread_count == 6


async def test_when_every_connection_is_busy_the_wait_is_bounded(postgres_url: str) -> None:
    engine = create_engine(postgres_url, pool_size=1, application="tests", jitter=uniform)
    try:
        async with engine.connect(), asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await PostgresFeeds(engine).feed(ADA)
    finally:
        await engine.dispose()


async def test_a_cancelled_change_leaves_nothing_behind(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    await users.add(a_user(ADA), None)
    for _ in range(10):
        appending = asyncio.create_task(feeds.append(drafts(50)))
        await asyncio.sleep(0.002)
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)

    async with asyncio.timeout(30):
        await feeds.append(drafts(50))
    assert (await feeds.feed(ADA)).version == 50
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


# --- many at once ---


async def test_catching_many_up_looks_into_indexes_and_reads_no_more_than_their_pages(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    """However long a feed is, and however many partitions there are."""
    names = [UserId(f"user-{n}") for n in range(60)]
    for user in names:
        await users.add(a_user(user), None)
    await feeds.append([a_draft(n, user) for user in names for n in range(1, 41)])
    await feeds.append([a_draft(n, names[0]) for n in range(41, 1_041)])
    await feeds.append([a_draft(1, user, at=NOW - timedelta(days=40)) for user in names])
    asked = "ARRAY['" + "', '".join(names[:50]) + "']"
    async with driver(engine) as connection:
        await connection.execute("ANALYZE feeds, notifications")
        arguments = f"{asked}, array_fill(10::bigint, ARRAY[50]), 6"
        histories = await plan(connection, statements._HISTORIES, arguments)
        standings = await plan(connection, statements._STANDINGS, asked)

    scans = {node["Node Type"] for node in histories + standings if "Relation Name" in node}
    assert scans <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
    rows = [node["Actual Rows"] * node["Actual Loops"] for node in histories if "Relation Name" in node]
    # Of each user its feed, a page, and a row of each partition to begin with.
    assert sum(rows) <= 50 * (1 + 6 + len(rows))


async def plan(connection: Any, query: str, arguments: str) -> list[dict[str, Any]]:
    """The nodes of a statement's plan, as it was carried out: planned once for all arguments, as those of the
    engine are. No table here is so large that PostgreSQL must prefer an index, so it is told to.
    """
    await connection.execute("SET enable_seqscan = off")
    try:
        await connection.execute(f"PREPARE planned AS {query}")
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE planned ({arguments})")
    finally:
        await connection.execute("DEALLOCATE planned")
        await connection.execute("RESET enable_seqscan")
    waiting, nodes = [explained[0]["Plan"]], []
    while waiting:
        nodes.append(waiting.pop())
        waiting += nodes[-1].get("Plans", [])
    return nodes


class CountingFeeds(PostgresFeeds):
    """Counts its statements by how many each is for."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self.standings_read: list[int] = []
        self.histories_read: list[int] = []

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        self.standings_read.append(len(users))
        return await super().standings(users)

    async def histories(
        self, wanted: Sequence[tuple[UserId, int]], limit: int
    ) -> Sequence[FeedHistory | None]:
        self.histories_read.append(len(wanted))
        return await super().histories(wanted, limit)


async def test_a_thousand_streams_resume_with_few_statements(engine: AsyncEngine) -> None:
    feeds = CountingFeeds(engine)
    names = [UserId(f"user-{n}") for n in range(1_000)]
    async with driver(engine) as connection:
        add = "INSERT INTO users (id, name, created_at) SELECT id, id, now() FROM unnest($1::text[]) AS id"
        await connection.execute(add, names)
        await connection.execute("INSERT INTO feeds (user_id, epoch) SELECT id, 'e1' FROM users")
    await feeds.append([a_draft(n, user) for user in names for n in (1, 2, 3)])
    catch_ups = CatchUps(feeds, monotonic)

    async def resume(user: UserId) -> list[int]:
        standing = await catch_ups.standing(user)
        found = [page async for page in pages(catch_ups, user, 1, standing.feed.cursor)]
        return [item.version for page in found for item in page.notifications if item.user_id == user]

    resumed = await asyncio.gather(*(resume(user) for user in names))

    assert resumed == [[2, 3]] * 1_000
    assert len(feeds.standings_read) <= 10
    assert len(feeds.histories_read) <= 30
    assert max(feeds.histories_read) <= 50


async def test_five_hundred_streams_of_one_user_resume_with_few_statements(
    engine: AsyncEngine, users: PostgresUsers
) -> None:
    await users.add(a_user(ADA), None)
    feeds = CountingFeeds(engine)
    await feeds.append(drafts(450))
    catch_ups = CatchUps(feeds, monotonic)

    async def resume() -> int:
        standing = await catch_ups.standing(ADA)
        found = [page async for page in pages(catch_ups, ADA, 0, standing.feed.cursor)]
        return sum(len(page.notifications) for page in found)

    assert await asyncio.gather(*(resume() for _ in range(500))) == [450] * 500
    assert len(feeds.standings_read) <= 2
    assert len(feeds.histories_read) <= 6


# --- what is remembered ---


async def test_who_was_seen_once_is_known_while_the_server_is_away(
    users: PostgresUsers, closed_door: AsyncEngine
) -> None:
    await users.add(a_user(ADA), None)
    await users.known([ADA])
    users._engine = closed_door

    assert await users.known([ADA]) == {ADA}
    with pytest.raises(Unavailable):
        await users.known([ADA, BOB])


# --- revocations ---


async def test_revocations_are_read_in_pages_without_missing_or_repeating_one(
    engine: AsyncEngine,
) -> None:
    """Also where many were made at one time."""
    users = PostgresUsers(engine, token_hex, revocations_page=3)
    everybody = [UserId(f"user-{n}") for n in range(9)]
    for user in everybody:
        await users.add(a_user(user), None)
    async with engine.begin() as connection:
        made = "UPDATE users SET tokens_revoked_at = :at WHERE id > 'user-3'"
        await connection.execute(text(made), {"at": NOW})
        await connection.execute(
            text("UPDATE users SET tokens_revoked_at = :at WHERE id <= 'user-3'"), {"at": LATER}
        )

    found = (await users.revocations(None)).revocations
    since = (await users.revocations(LATER)).revocations

    assert sorted(revocation.user_id for revocation in found) == everybody
    assert sorted(revocation.user_id for revocation in since) == everybody[:4]


async def test_asking_for_revocations_reads_only_those(users: PostgresUsers, engine: AsyncEngine) -> None:
    async with driver(engine) as connection:
        await connection.execute(
            "INSERT INTO users (id, name, created_at) "
            "SELECT 'u' || n, 'U', now() FROM generate_series(1, 5000) n"
        )
        await connection.execute("ANALYZE users")
    await users.disable(UserId("u17"))

    async with driver(engine) as connection:
        await connection.execute(f"PREPARE asked (timestamptz, text, bigint) AS {_REVOCATIONS}")
        plan = await connection.fetch("EXPLAIN EXECUTE asked (now() - interval '1 minute', '', 10000)")
        await connection.execute("DEALLOCATE asked")

    lines = "\n".join(line for (line,) in plan)
    assert "users_tokens_revoked_idx" in lines
    assert "Index Cond: (ROW(tokens_revoked_at, id) > ROW($1, $2))" in lines


async def test_of_two_revocations_at_once_the_later_one_has_the_later_time(
    users: PostgresUsers, engine: AsyncEngine
) -> None:
    """Not the one at which its transaction began: the time of a user's revocation would go back."""
    await users.add(a_user(ADA), None)
    async with engine.connect() as other, other.begin():
        await other.execute(text("UPDATE users SET tokens_revoked_at = clock_timestamp()"))
        waiting = asyncio.create_task(users.revoke_tokens(ADA))
        blocked = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )

        async def waits() -> bool:
            await other.execute(text("SELECT pg_stat_clear_snapshot()"))
            return bool(await other.scalar(text(blocked)))

        await eventually(waits, "it waits")
        released = (await users.revocations(None)).as_of
    await waiting

    (revocation,) = (await users.revocations(None)).revocations
    assert revocation.at > released


async def test_a_revocation_not_committed_yet_is_seen_with_the_overlap(
    users: PostgresUsers, engine: AsyncEngine
) -> None:
    revocations = Revocations(users, PostgresRevokedTokens(engine))
    adas, bobs = (Claims(user, LATER, NOW) for user in (ADA, BOB))
    for user in (ADA, BOB):
        await users.add(a_user(user), None)
    await revocations.refresh()
    async with engine.connect() as other, other.begin():
        slow = "UPDATE users SET tokens_revoked_at = clock_timestamp() WHERE id = 'ada'"
        await other.execute(text(slow))
        await users.revoke_tokens(BOB)
        await revocations.refresh()
        await revocations.refresh()
        assert (revocations.is_revoked(adas), revocations.is_revoked(bobs)) == (False, True)

    await revocations.refresh()

    assert revocations.is_revoked(adas)


async def test_who_was_seen_is_known_when_there_are_too_many_to_remember(
    engine: AsyncEngine,
) -> None:
    users = PostgresUsers(engine, token_hex, remembered_users=0)
    await users.add(a_user(ADA), None)
    await users.add(a_user(BOB), None)
    await users.known([ADA])

    assert await users.known([ADA, BOB]) == {ADA, BOB}


async def test_what_the_previous_release_did_to_keys_is_noticed(engine: AsyncEngine) -> None:
    keys, created = PostgresApiKeys(engine), "INSERT INTO api_keys VALUES ($1, 'k', 'h', '{publish}', now())"
    await keys.add(ApiKey(id="ours", name="k", secret_hash=b"h", scopes=frozenset(), created_at=NOW))
    before = (await keys.changed(None)).as_of
    async with driver(engine) as connection:
        await connection.execute(created, "theirs")
        await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE id = 'ours'")

    found = {key.id: key.revoked_at for key in (await keys.changed(before)).keys}

    assert found.keys() == {"ours", "theirs"}
    assert found["theirs"] is None
    assert found["ours"] is not None


async def test_a_notification_keeps_the_key_that_sent_it(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    await users.add(a_user(ADA), None)
    sent = [
        replace(a_draft(1), key_id="0123456789ab"),
        a_draft(2),
        replace(a_draft(3), key_id="ba9876543210"),
    ]

    await feeds.append(sent)

    async with driver(engine) as connection:
        rows = await connection.fetch("SELECT id, key_id FROM notifications ORDER BY id")
    assert [tuple(row) for row in rows] == [(draft.id, draft.key_id) for draft in sent]


async def test_another_users_feed_is_not_locked(engine: AsyncEngine, users: PostgresUsers) -> None:
    for user in (ADA, BOB):
        await users.add(a_user(user), None)
    async with driver(engine) as connection, connection.transaction():
        await connection.fetch("SELECT * FROM feeds WHERE user_id = 'ada' FOR UPDATE")
        async with asyncio.timeout(30):
            await PostgresFeeds(engine).append([a_draft(1, BOB)])


async def test_a_mark_that_waited_for_the_lock_sees_what_was_marked_meanwhile(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    await users.add(a_user(ADA), None)
    await feeds.append(drafts(2))
    async with driver(engine) as connection:
        async with connection.transaction():
            await connection.fetch("SELECT * FROM feeds WHERE user_id = 'ada' FOR NO KEY UPDATE")
            waiting = asyncio.create_task(feeds.mark(ADA, Mark.READ, [an_id(1), an_id(2)], LATER))
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not await connection.fetchval(waits):  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.01)
            await connection.execute(
                "UPDATE notifications SET read_at = now(), version = 3 WHERE version = 1"
            )
            await connection.execute(
                "UPDATE feeds SET version = 3, unread_count = 1, unread_in = '{\"comment\": 1}'"
            )
        marked = await waiting

    assert (marked.prev, marked.ids) == (3, (an_id(2),))
    assert (marked.feed.version, marked.feed.unread_count) == (4, 0)


async def test_a_batch_that_waited_for_the_lock_sees_what_was_stored_meanwhile(
    engine: AsyncEngine, feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    """Nor does it touch a feed that was made meanwhile, and is not locked."""
    await users.add(a_user(ADA), None)
    async with driver(engine) as connection:
        async with connection.transaction():
            await connection.fetch("SELECT * FROM feeds WHERE user_id = 'ada' FOR NO KEY UPDATE")
            waiting = asyncio.create_task(feeds.append([*drafts(2), a_draft(3, BOB)]))
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not await connection.fetchval(waits):  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.01)
            await users.add(a_user(BOB), None)
            await connection.execute(
                """INSERT INTO notifications
                    (user_id, id, version, event, message, category, metadata, created_at)
                VALUES ('ada', $1, 1, 'e', 'm', 'e', '{}', now())""",
                an_id(1),
            )
            await connection.execute(
                "UPDATE feeds SET version = 1, unread_count = 1, unread_in = '{\"e\": 1}' "
                "WHERE user_id = 'ada'"
            )
        appended = await waiting

    assert [item.version for change in appended.added for item in change.notifications] == [2]
    assert [settled.feed.version for settled in appended.present] == [1]
    assert [draft.id for draft in appended.unknown] == [an_id(3)]
    assert (await feeds.feed(ADA)).unread_count == 2
    assert (await feeds.feed(BOB)).version == 0


async def test_many_users_at_once_are_locked_without_a_deadlock(
    feeds: PostgresFeeds, users: PostgresUsers
) -> None:
    names = [UserId(f"user-{n}") for n in range(20)]
    for user in names:
        await users.add(a_user(user), None)
    batches = [
        [a_draft(20 * nth + n, user) for n, user in enumerate(names[nth:] + names[:nth])] for nth in range(8)
    ]

    await asyncio.gather(*(feeds.append(batch) for batch in batches))

    assert {(await feeds.feed(user)).version for user in names} == {8}


def test_the_tests_month_is_over() -> None:
    """Partitions of the past are made by the tests alone; drafts of `now` land in those made ahead."""
    assert datetime.now(UTC) > NOW
