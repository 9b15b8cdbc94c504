"""Users who are created just in time, on real servers; and nobody who was erased comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from secrets import token_hex
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.audit import PostgresAuditTrail
from adapters.postgres.directory import _ALL, _BY_EMAIL, PostgresDirectory
from adapters.postgres.engine import driver, hash_of
from adapters.postgres.erasures import _BEGIN, PostgresErasures
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.users import PostgresUsers
from application.audit import Action, ActorKind, By, Entry, Search
from application.delivery import StoreNotifications
from application.directory import Put, UserSearch
from application.erasing import ContinueErasures
from domain.errors import UnknownUser, UserTaken
from domain.identifiers import UserId
from tests.build import ADA, BOB, NOW, a_draft, a_user
from tests.integration.test_privacy import bellwire
from tests.product import Product, Stores, create_users, eventually, metric

BY = By(ActorKind.KEY, "k1", "192.0.2.1", "r1")
ERASE = Entry(BY, Action.USER_ERASED, ADA)
CREATED, CHANGED = Entry(BY, Action.USER_CREATED, ADA), Entry(BY, Action.USER_CHANGED, ADA)
UNWRITABLE = Entry(BY, Action.USER_CHANGED, ADA, {"odd": object()})


class World:
    """The adapters on one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.users = PostgresUsers(engine, token_hex)
        self.feeds = PostgresFeeds(engine)
        self.directory = PostgresDirectory(engine, token_hex)
        self.erasures = PostgresErasures(engine, settle=timedelta())
        self.trail = PostgresAuditTrail(engine)

    async def put(self, name: str = "Ada Lovelace", **changes: Any) -> Put:
        user = a_user(name=name, **changes)
        return await self.directory.put(user, keeps_email=False, created=CREATED, changed=CHANGED)

    async def erase(self, *, reusable: bool = False) -> None:
        await self.erasures.begin(ADA, ERASE, reusable=reusable)
        index: Any = Index()
        assert await ContinueErasures(erasures=self.erasures, index=index, kafka_keeps=_keeps)() == 1

    async def value(self, query: str, *arguments: object) -> Any:
        async with driver(self.engine) as connection:
            return await connection.fetchval(query, *arguments)

    async def actions(self) -> list[str]:
        return [entry.action for entry in await self.trail.page(Search(), 100)][::-1]


class Index:
    async def erase(self, user: UserId) -> None:
        return


async def _keeps() -> None:
    return None


@pytest.fixture
def world(engine: AsyncEngine) -> World:
    return World(engine)


# --- nobody comes back ---


@asynccontextmanager
async def an_erasure_that_is_about_to_commit(world: World) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hands out what waits until somebody waits for the erasure, and then commits it."""
    async with driver(world.engine) as connection:
        begun = connection.transaction()
        await begun.start()
        await connection.execute("DELETE FROM feeds WHERE user_id = 'ada'")
        await connection.execute("DELETE FROM users WHERE id = 'ada'")
        await connection.fetchrow(_BEGIN, hash_of(world.engine, ADA), ADA, False)

        async def commit() -> None:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not await connection.fetchval(waits):  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.01)
            await begun.commit()

        yield commit


async def test_who_is_being_erased_is_not_created_by_what_waited_for_it(world: World) -> None:
    await world.users.add(a_user(ADA), None)
    async with an_erasure_that_is_about_to_commit(world) as commit:
        creating = asyncio.create_task(world.directory.create([BOB, ADA], NOW))
        await commit()

    assert await creating == {BOB}
    assert await world.value("SELECT array_agg(id) FROM users") == [BOB]
    assert (await world.feeds.standings([ADA, BOB])).keys() == {BOB}


async def test_who_is_being_erased_is_not_put_back_by_what_waited_for_it(world: World) -> None:
    await world.users.add(a_user(ADA), None)
    async with an_erasure_that_is_about_to_commit(world) as commit:
        putting = asyncio.create_task(world.put("Augusta"))
        await commit()

    with pytest.raises(UserTaken, match="was erased"):
        await putting
    assert await world.value("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("reusable", [False, True])
async def test_whoever_was_erased_is_never_created_just_in_time(world: World, reusable: bool) -> None:
    """Not even if the id may be used again: what comes may be from before the erasure."""
    await world.users.add(a_user(ADA), None)
    await world.erase(reusable=reusable)

    assert await world.directory.create([ADA], NOW) == frozenset()
    with pytest.raises(UnknownUser):
        await world.feeds.feed(ADA)


async def test_who_was_erased_is_put_only_if_the_id_may_be_used_again(world: World) -> None:
    await world.users.add(a_user(ADA), None)
    await world.erase()
    with pytest.raises(UserTaken, match="was erased"):
        await world.put()

    await world.erasures.begin(ADA, ERASE, reusable=True)
    assert (await world.put()).entry == CREATED

    (revoked,) = (await world.users.revocations(None)).revocations
    assert revoked.user_id == ADA
    assert await world.directory.create([ADA], NOW) == frozenset()


async def test_a_late_record_of_an_erased_user_is_dropped_and_others_create_theirs(world: World) -> None:
    await world.users.add(a_user(ADA), None)
    await world.erase()

    stored = await store_of(world)([a_draft(1, ADA), a_draft(2, BOB), a_draft(3, ADA), a_draft(4, BOB)])

    assert [draft.id for draft in stored.appended.erased] == [a_draft(1).id, a_draft(3).id]
    assert stored.appended.unknown == ()
    assert (await world.feeds.feed(BOB)).version == 2
    assert await world.value("SELECT array_agg(id) FROM users") == [BOB]


# --- several at once ---


class Silent:
    async def announce(self, changes: object) -> None:
        return


def store_of(world: World) -> StoreNotifications:
    announcer: Any = Silent()
    return StoreNotifications(
        feeds=world.feeds, announcer=announcer, clock=lambda: NOW, missing=world.directory
    )


async def test_consumers_that_create_the_same_users_at_once_lose_and_repeat_nothing(
    engine: AsyncEngine,
) -> None:
    users = [UserId(f"u{number}") for number in range(25)]
    batches = [
        [a_draft(100 * nth + number, user) for number, user in enumerate(order)]
        for nth, order in enumerate((users, users[::-1], users[5:] + users[:5], users))
    ]

    outcomes = await asyncio.gather(*(store_of(World(engine))(batch) for batch in batches))

    assert sum(len(one.appended.added) for one in outcomes) == 100
    assert not any(one.appended.unknown or one.refused for one in outcomes)
    standings = await PostgresFeeds(engine).standings(users)
    assert {(one.feed.version, one.feed.unread_count) for one in standings.values()} == {(4, 4)}
    assert len(standings) == 25


# --- PUT, and what is recorded of it ---


async def test_a_put_and_its_entry_are_one_transaction(world: World) -> None:
    for _ in range(2):  # of a user who is not there, and of one who is
        user = a_user(name="Augusta")
        with pytest.raises(NotImplementedError):
            await world.directory.put(user, keeps_email=False, created=UNWRITABLE, changed=UNWRITABLE)
        assert await world.value("SELECT count(*) FROM users WHERE name = 'Augusta'") == 0
        await world.put()

    assert await world.actions() == ["user.created"]


async def test_what_changes_nothing_is_not_recorded(world: World) -> None:
    for name in ("Ada", "Ada", "Augusta", "Augusta"):
        await world.put(name)

    assert await world.actions() == ["user.created", "user.changed"]


async def test_a_put_and_a_new_user_at_once_are_one_user(world: World) -> None:
    outcomes = await asyncio.gather(
        world.put("Augusta"), world.users.add(a_user(ADA), None), return_exceptions=True
    )

    assert isinstance(outcomes[0], Put)
    assert (await world.users.get(ADA)).name == "Augusta"
    assert (await world.feeds.feed(ADA)).version == 0


# --- looking up ---


async def test_users_with_a_prefix_and_addresses_are_found_by_an_index(world: World) -> None:
    """`users_prefix_idx` is the class of operators that finds prefixes in any collation."""
    await world.value(
        "INSERT INTO users (id, name, email, created_at) SELECT prefix || n, 'n', prefix || n || '@x', now()"
        " FROM generate_series(1, 20000) AS n, unnest(ARRAY['acme:', 'globex:']) AS prefix"
    )
    await world.value("CREATE INDEX IF NOT EXISTS users_prefix_idx ON users (id text_pattern_ops)")
    await world.value("ANALYZE users")
    bounds = ("'globex:5'", "'globex:'", "'globex:~'", "101", "''", "101", "ARRAY['globex:7@x']")

    for query, index in ((_ALL, "users_prefix_idx"), (_BY_EMAIL, "users_email_key")):
        for number, value in enumerate(bounds, 1):
            query = query.replace(f"${number}", value)  # noqa: PLW2901
        async with driver(world.engine) as connection:
            rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {query}")
        plan = "\n".join(row[0] for row in rows)
        assert index in plan, plan
        assert "Seq Scan" not in plan, plan

    page = await world.directory.page(UserSearch(prefix="globex:"), 2, UserId("globex:1999"))
    assert [user.id for user in page.users] == ["globex:19990", "globex:19991"]


# --- the product ---


@dataclass
class Running:
    """An API and a consumer that create users, and a client."""

    product: Product
    stores: Stores
    consumer: Any
    client: httpx.AsyncClient

    async def send(self, *users: str) -> None:
        """Records that another program writes to Kafka."""
        producer = AIOKafkaProducer(bootstrap_servers=self.product.settings.kafka_bootstrap)
        await producer.start()
        try:
            for user in users:
                record = json.dumps({"user_id": user, "event": "a.b", "message": "hello"}).encode()
                await producer.send_and_wait(self.product.settings.kafka_topic, record, key=user.encode())
        finally:
            await producer.stop()

    async def count(self) -> int:
        return await self.stores.count()

    async def publish(self, *users: str) -> list[dict[str, Any]]:
        items = [{"user_id": user, "event": "a.b", "message": "hello"} for user in users]
        response = await self.client.post("/v1/notifications/batch", json={"items": items})
        results: list[dict[str, Any]] = response.json()["results"]
        return results

    def bearer(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.product.token(user)}"}


@asynccontextmanager
async def running(product: Product, stores: Stores, by: str) -> AsyncIterator[Running]:
    product._environment["BELLWIRE_CREATE_USERS"] = by
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client:
        yield Running(product, stores, consumer, client)


async def test_a_notification_creates_its_user_by_kafka_and_by_http(product: Product, stores: Stores) -> None:
    async with running(product, stores, "publish") as run:
        await run.send("u1", "u2", "u1")
        results = await run.publish("u2", "u3")
        await eventually(lambda: _is(run.count, 5), "all are stored")

        assert all("id" in result for result in results)
        listed = (await run.client.get("/v1/users")).json()["items"]
        assert [(user["id"], user["name"]) for user in listed] == [("u1", "u1"), ("u2", "u2"), ("u3", "u3")]
        counted = await run.client.get("/v1/users/u1/unread-count", headers=run.bearer("u1"))
        assert counted.json()["unread_count"] == 2
        created = partial(metric, run.consumer, "bellwire_users_created_total")
        await eventually(lambda: _is(created, 3), "they are counted")
        assert await metric(run.consumer, "bellwire_dead_letters_total") == 0
        unknown = await run.client.get("/v1/users/u9/notifications", headers=run.bearer("u9"))
        assert unknown.status_code == 404, "a token creates nobody"


async def test_a_token_creates_its_user_and_a_notification_does_not(product: Product, stores: Stores) -> None:
    async with running(product, stores, "token") as run:
        refused = await run.publish("u1")
        page = await run.client.get("/v1/users/u1/notifications", headers=run.bearer("u1"))
        accepted = await run.publish("u1")
        await run.send("u9")
        await eventually(lambda: _is(run.count, 1), "it is stored")

        assert refused[0]["error"]["status"] == 404
        assert (page.status_code, page.json()["unread_count"]) == (200, 0)
        assert "id" in accepted[0]
        await eventually(
            lambda: _is(lambda: metric(run.consumer, "bellwire_dead_letters_total"), 1),
            "the record of another is a dead letter",
        )


@pytest.mark.parametrize("forget", ["false", "true"])
async def test_an_erased_user_stays_erased_whatever_comes(
    product: Product, stores: Stores, forget: str
) -> None:
    async with running(product, stores, "publish,token") as run:
        await create_users(run.client, ["ada"])
        token = run.bearer("ada")
        erased = await run.client.delete(f"/v1/users/ada?forget={forget}")
        assert erased.status_code == 202
        await run.send("ada", "bob")
        await run.publish("ada", "bob")
        await eventually(lambda: _is(run.count, 2), "those of the other are stored")
        await eventually(
            lambda: _is(lambda: metric(run.consumer, "bellwire_erased_records_total"), 2), "two are dropped"
        )
        answers = {
            (await run.client.get("/v1/users/ada/notifications", headers=headers)).status_code
            for headers in (token, run.bearer("ada"))
        }

        assert answers <= {401, 404}
        listed = (await run.client.get("/v1/users")).json()["items"]
        assert [user["id"] for user in listed] == ["bob"]
        assert await stores.postgres.fetchval("SELECT count(*) FROM users WHERE id = 'ada'") == 0
        assert await metric(run.consumer, "bellwire_dead_letters_total") == 0


async def test_an_operator_finds_users_at_the_terminal(product: Product, stores: Stores) -> None:
    async with running(product, stores, "never") as run:
        for user in ("acme:ada", "bob"):
            body = {"name": user.title(), "email": f"{user[-3:]}@example.com"}
            assert (await run.client.put(f"/v1/users/{user}", json=body)).status_code == 201

    everybody = await bellwire(product, "users", "list")
    some = await bellwire(product, "users", "list", "--prefix", "acme:", "--json")
    by_email = await bellwire(product, "users", "find", "--email", "BOB@example.com")
    by_id = await bellwire(product, "users", "find", "acme:ada")
    nobody = await bellwire(product, "users", "find", "--name", "eve")

    assert (everybody[0], everybody[1].count("\n")) == (0, 2)
    assert json.loads(some[1])["id"] == "acme:ada"
    assert (by_email[0], by_email[1].split()[0]) == (0, "bob")
    assert by_id[1].endswith("Acme:Ada, ada@example.com\n")
    assert nobody == (1, "")


async def _is(ask: Callable[[], Awaitable[float]], expected: float) -> bool:
    return await ask() == expected
