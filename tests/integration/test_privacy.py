"""Erasing and exporting users on real servers: whatever dies, and whatever is written or comes late."""

import asyncio
import json
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from adapters.kafka.topics import Topics, longest_retention
from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.audit import PostgresAuditTrail
from adapters.postgres.engine import driver
from adapters.postgres.erasures import PostgresErasures
from adapters.postgres.exports import PostgresExports
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.revoked_tokens import PostgresRevokedTokens
from adapters.postgres.users import PostgresUsers
from application.audit import Action, ActorKind, By, Entry, Recorded, Search
from application.credentials import ApiKey, RevokedToken
from application.erasing import ContinueErasures, EraseUser
from application.erasures import Erasure
from application.errors import Unavailable, UnknownErasure
from application.exporting import ExportUser
from application.exports import Exported, ExportedWithheld, ExportEnd
from application.feeds import Appended
from application.pruning import AUDIT_DAYS, PruneAudit
from domain.errors import UnknownUser, UserTaken
from domain.identifiers import UserId
from domain.notification import Notification, Retraction
from domain.states import Mark
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id, drafts
from tests.integration.conftest import Run
from tests.product import Product, Stores, create_users, eventually, metric

BY = By(ActorKind.KEY, "k1", "192.0.2.1", "r1")
ERASE = Entry(BY, Action.USER_ERASED, ADA)
UNWRITABLE = Entry(BY, Action.USER_ERASED, ADA, {"odd": object()})
KEPT = timedelta(days=37)
AT_ONCE = timedelta()
NOTHING_OF_ADA = """
SELECT (SELECT count(*) FROM users WHERE id = 'ada' OR email LIKE '%ada%')
    + (SELECT count(*) FROM feeds WHERE user_id = 'ada')
    + (SELECT count(*) FROM notifications WHERE user_id = 'ada')
    + (SELECT count(*) FROM erasures WHERE user_id IS NOT NULL)
    + (SELECT count(*) FROM audit WHERE audit::text ~ '\\mada\\M')
"""


@dataclass
class World:
    """The adapters on one database."""

    engine: AsyncEngine

    def __post_init__(self) -> None:
        self.users = PostgresUsers(self.engine, token_hex)
        self.feeds = PostgresFeeds(self.engine)
        self.erasures = PostgresErasures(self.engine, settle=AT_ONCE)
        self.exports = PostgresExports(self.engine)
        self.trail = PostgresAuditTrail(self.engine)

    async def add(self, user: UserId, count: int = 0) -> None:
        await self.users.add(a_user(user, email=f"{user}@example.com"), "hash")
        for first in range(1, count + 1, 1000):
            await self.feeds.append(drafts(min(1000, count + 1 - first), user, first=first))

    async def value(self, query: str, *arguments: object) -> Any:
        async with driver(self.engine) as connection:
            return await connection.fetchval(query, *arguments)

    async def erased(self, begun: Erasure) -> Erasure:
        """Finish an erasure."""
        assert await runner(self.erasures)() == 1
        return await self.erasures.get(begun.id)


@pytest.fixture
async def world(engine: AsyncEngine) -> World:
    made = World(engine)
    await made.add(ADA, 30)
    await made.add(BOB, 5)
    return made


class Index:
    async def erase(self, user: UserId) -> None:
        return


def runner(erasures: Any, index: Any = None) -> ContinueErasures:
    async def keeps() -> timedelta | None:
        return KEPT

    chosen: Any = index or Index()
    return ContinueErasures(erasures=erasures, index=chosen, kafka_keeps=keeps)


class Crash(Exception):
    """The process is gone."""


class Dies:
    """A part whose calls are counted over all parts; at one of them the process dies, before or after."""

    def __init__(self, part: Any, calls: list[str], at: int, *, after: bool) -> None:
        self._part, self._calls, self._at, self._after = part, calls, at, after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            self._calls.append(name)
            dies = len(self._calls) == self._at
            if dies and not self._after:
                raise Crash
            result = await getattr(self._part, name)(*arguments)
            if dies:
                raise Crash
            return result

        return call


@pytest.mark.parametrize("after", [False, True])
async def test_an_erasure_survives_a_crash_at_every_step(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.setattr("application.erasing.ERASE_BATCH", 10)
    world = World(engine)
    await world.add(BOB, 5)
    steps: set[str] = set()
    at = 1
    while True:
        await world.add(ADA, 25)
        begun = await EraseUser(erasures=world.erasures)(ADA, BY, forget=True)
        calls: list[str] = []
        dying = runner(Dies(world.erasures, calls, at, after=after), Dies(Index(), calls, at, after=after))
        try:
            await dying()
        except Crash:
            steps.add(calls[-1])
        else:
            break
        await runner(world.erasures)()

        done = await world.erasures.get(begun.id)
        assert done.finished_at is not None, f"after a crash at call {at}"
        assert done.deleted == {"users": 1, "notifications": 25}
        assert await world.value(NOTHING_OF_ADA) == 0
        at += 1
    assert steps == {"unfinished", "delete_some", "erase", "finish"}
    assert at > 6
    assert (await world.feeds.feed(BOB)).version == 5


async def test_what_begins_an_erasure_is_one_transaction(world: World) -> None:
    with pytest.raises(NotImplementedError):
        await world.erasures.begin(ADA, UNWRITABLE, reusable=False)

    assert (await world.users.get(ADA)).id == ADA
    assert (await world.feeds.feed(ADA)).version == 30
    assert await world.value("SELECT count(*) FROM erasures") == 0


async def test_after_an_erasure_nothing_of_the_user_is_left_and_everything_of_others(world: World) -> None:
    await world.trail.add(Entry(BY, Action.USER_DISABLED, ADA))
    begun = await world.erasures.begin(ADA, ERASE, reusable=False)
    with pytest.raises(UnknownUser):
        await world.feeds.feed(ADA)
    assert await world.users.credentials(["ada@example.com"]) is None

    done = await world.erased(begun)

    assert await world.value(NOTHING_OF_ADA) == 0
    assert done.deleted == {"users": 1, "notifications": 30}
    assert done.finished_at is not None
    assert done.kafka_until is not None
    assert abs(done.kafka_until - done.finished_at - KEPT) < timedelta(seconds=5)
    assert (await world.feeds.feed(BOB)).unread_count == 5
    assert (await world.erasures.begin(ADA, ERASE, reusable=False)).id == begun.id
    with pytest.raises(UnknownUser):
        await world.erasures.begin(UserId("nobody"), ERASE, reusable=False)
    with pytest.raises(UnknownErasure):
        await world.erasures.get(UUID(int=1))


async def test_several_processes_share_erasures_and_count_once(world: World) -> None:
    users = [UserId(f"u{number}") for number in range(6)]
    for user in users:
        await world.add(user, 300)
    begun = [await EraseUser(erasures=world.erasures)(user, BY) for user in users]

    while await world.value("SELECT count(*) FROM erasures WHERE finished_at IS NULL"):
        await asyncio.gather(*(runner(world.erasures)() for _ in range(3)))

    counts = [(await world.erasures.get(one.id)).deleted["notifications"] for one in begun]
    assert counts == [300] * 6


async def test_it_is_not_finished_before_it_is_settled(world: World) -> None:
    slow = PostgresErasures(world.engine, settle=timedelta(hours=1))
    begun = await slow.begin(ADA, ERASE, reusable=False)

    assert [one.settled for one in await slow.unfinished(5)] == [False]
    assert [one.settled for one in await world.erasures.unfinished(5)] == [True]
    assert not await world.erasures.finish(begun.id, KEPT, ERASE), "notifications are left"
    assert await runner(slow)() == 0
    assert not await slow.finish(begun.id, KEPT, ERASE)
    assert await world.erasures.finish(begun.id, KEPT, ERASE)


async def test_nothing_that_is_published_meanwhile_is_stored_refused_or_brings_the_user_back(
    world: World,
) -> None:
    outcomes: list[Appended] = []
    stop = asyncio.Event()

    async def publish(first: int) -> None:
        number = first
        while not stop.is_set():
            number += 1
            pair = [a_draft(number, ADA), a_draft(number, BOB)]
            outcomes.append(await world.feeds.append(pair))

    writers = [asyncio.create_task(publish(10_000 * nth)) for nth in range(1, 5)]
    await eventually(lambda: len(outcomes) > 20, "they write")
    begun = await world.erasures.begin(ADA, ERASE, reusable=False)
    before = len(outcomes)
    while (await world.erasures.get(begun.id)).finished_at is None:
        await runner(world.erasures)()
    await eventually(lambda: len(outcomes) > before + 20, "they still write")
    stop.set()
    await asyncio.gather(*writers)

    assert await world.value("SELECT count(*) FROM notifications WHERE user_id = 'ada'") == 0
    assert not [one for one in outcomes if one.unknown]
    assert {len(one.added) + len(one.erased) for one in outcomes} == {2}
    stored = sum(change.feed.user_id == ADA for one in outcomes for change in one.added)
    assert (await world.erasures.get(begun.id)).deleted["notifications"] == 30 + stored


async def test_what_was_withheld_is_exported_and_erased(world: World) -> None:
    await world.feeds.append([Retraction(ADA, an_id(91)), a_draft(92, expires_at=NOW)], LATER)

    items = [item async for item in ExportUser(exports=world.exports, audit=world.trail)(ADA, BY)]

    withheld = [item for item in items if isinstance(item, ExportedWithheld)]
    assert [(item.id, item.reason, item.category) for item in withheld] == [
        (an_id(91), "retracted", None),
        (an_id(92), "expired", "comment"),
    ]
    assert items[-1] == ExportEnd(users=1, notifications=30, withheld=2, snapshots=1)
    await world.erased(await world.erasures.begin(ADA, ERASE, reusable=False))
    assert await world.value("SELECT count(*) FROM withheld WHERE user_id = 'ada'") == 0


async def test_an_erased_id_is_free_again_only_after_forgetting(world: World) -> None:
    begun = await world.erasures.begin(ADA, ERASE, reusable=False)
    with pytest.raises(UserTaken):
        await world.users.add(a_user(ADA), None)
    await world.erased(begun)
    with pytest.raises(UserTaken, match="was erased"):
        await world.users.add(a_user(ADA), None)
    assert not (await world.users.known([ADA]))
    appended = await world.feeds.append([a_draft(90), a_draft(91, UserId("nobody"))])
    assert ([one.id for one in appended.erased], [one.id for one in appended.unknown]) == (
        [an_id(90)],
        [an_id(91)],
    )

    await world.erasures.begin(ADA, ERASE, reusable=True)
    await world.users.add(a_user(ADA), None)

    assert await world.value("SELECT user_hash FROM erasures") is None
    assert len((await world.feeds.append([a_draft(92)])).added) == 1
    (revoked,) = (await world.users.revocations(None)).revocations
    assert (revoked.user_id, revoked.disabled) == (ADA, False)
    again = await world.erasures.begin(ADA, ERASE, reusable=False)
    assert again.id != begun.id


async def test_an_id_is_not_free_while_its_erasure_is_running(world: World) -> None:
    await world.erasures.begin(ADA, ERASE, reusable=True)

    with pytest.raises(UserTaken):
        await world.users.add(a_user(ADA), None)


async def test_a_process_that_knew_the_user_forgets_it_with_the_revocations(world: World) -> None:
    assert await world.users.known([ADA, BOB]) == {ADA, BOB}
    elsewhere = World(world.engine)
    await elsewhere.erasures.begin(ADA, ERASE, reusable=False)
    assert await world.users.known([ADA, BOB]) == {ADA, BOB}, "it is a cache"

    latest = await world.users.revocations(None)

    assert ADA in {revocation.user_id for revocation in latest.revocations}
    assert await world.users.known([ADA, BOB]) == {BOB}


async def test_a_process_that_could_not_ask_for_long_forgets_everybody(world: World) -> None:
    known = await world.users.revocations(None)
    assert await world.users.known([ADA]) == {ADA}
    await world.erased(await World(world.engine).erasures.begin(ADA, ERASE, reusable=False))

    await world.users.revocations(known.as_of - timedelta(seconds=60))
    assert await world.users.known([ADA]) == {ADA}, "it is within what callers overlap"
    await world.users.revocations(known.as_of - timedelta(seconds=70))
    assert not await world.users.known([ADA])


# --- exporting ---


async def test_an_export_is_of_one_moment_whatever_is_written_meanwhile(world: World, run: Run) -> None:
    cid = UserId("cid")
    await world.add(cid, 20_000)
    await world.feeds.mark(cid, Mark.ARCHIVED, [an_id(7)], NOW)
    export = ExportUser(exports=world.exports, audit=world.trail)
    begun, count, versions = time.monotonic(), 0, set()
    tracemalloc.start()
    async for item in export(cid, BY):
        if not count and isinstance(item, Notification):
            await world.feeds.append(drafts(50, cid, first=30_000))
            await world.feeds.mark(cid, Mark.READ, [an_id(19_999)], NOW)
            async with driver(world.engine) as connection:
                await connection.execute("DELETE FROM notifications WHERE id = $1", an_id(20_000))
        if isinstance(item, Notification):
            count += 1
            versions.add(item.version)
            assert item.read_at is None
        last: Exported = item
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert last == ExportEnd(users=1, notifications=20_000, withheld=0, snapshots=1)
    assert versions == set(range(1, 20_002)) - {7}
    assert peak < 16 * 1024 * 1024
    run.note(seconds_for_20000=time.monotonic() - begun, peak_mib=peak / 2**20)


async def test_a_snapshot_that_was_held_for_long_enough_is_followed_by_another(world: World) -> None:
    short = PostgresExports(world.engine, seconds=0, page=10)
    items = [item async for item in ExportUser(exports=short, audit=world.trail)(ADA, BY)]

    assert len([item for item in items if isinstance(item, Notification)]) == 30
    assert items[-1] == ExportEnd(users=1, notifications=30, withheld=0, snapshots=3)


async def test_a_connection_that_is_ended_in_the_middle_only_begins_another_snapshot(world: World) -> None:
    export = ExportUser(exports=PostgresExports(world.engine, page=10), audit=world.trail)
    items: list[Exported] = []
    async for item in export(ADA, BY):
        items.append(item)
        if len(items) == 5:
            others = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            )
            assert await world.value(f"{others} AND datname = current_database()")

    ids = [item.id for item in items if isinstance(item, Notification)]
    assert ids == [an_id(number) for number in range(1, 31)]
    assert items[-1] == ExportEnd(users=1, notifications=30, withheld=0, snapshots=2)


async def test_nobody_cannot_be_exported(world: World) -> None:
    for user in ("nobody", "\x00"):
        with pytest.raises(UnknownUser):
            await anext(world.exports.pages(UserId(user), None))


# --- passwords and the trail ---


async def test_a_password_is_replaced_once_and_revokes_what_was_issued(world: World) -> None:
    assert (await world.users.password(ADA))[1] == "hash"
    entry = Entry(BY, Action.PASSWORD_CHANGED, ADA)
    assert await world.users.set_password(ADA, "another", "new", entry) is None
    assert await world.trail.page(Search(), 10) == []

    at = await world.users.set_password(ADA, "hash", "new", entry)

    (revoked,) = (await world.users.revocations(None)).revocations
    assert (revoked.user_id, revoked.at) == (ADA, at)
    assert (await world.users.password(ADA))[1] == "new"
    assert await world.users.set_password(ADA, None, "reset") is not None
    for missing in ("nobody", "\x00"):
        with pytest.raises(UnknownUser):
            await world.users.password(UserId(missing))
    with pytest.raises(UnknownUser):
        await world.users.set_password(UserId("nobody"), None, "reset")


async def test_what_is_done_and_its_entry_are_one_transaction(world: World) -> None:
    keys, tokens = PostgresApiKeys(world.engine), PostgresRevokedTokens(world.engine)
    key = ApiKey(id="k2", name="shop", secret_hash=b"h", scopes=frozenset({"publish"}), created_at=NOW)
    calls: Mapping[str, Callable[[Entry], Awaitable[object]]] = {
        "add": lambda entry: world.users.add(a_user(UserId("cid")), None, entry),
        "disable": lambda entry: world.users.disable(ADA, entry),
        "enable": lambda entry: world.users.enable(ADA, entry),
        "revoke tokens": lambda entry: world.users.revoke_tokens(ADA, entry),
        "set password": lambda entry: world.users.set_password(ADA, "hash", "new", entry),
        "revoke token": lambda entry: tokens.add(RevokedToken("t", LATER), entry),
        "add key": lambda entry: keys.add(key, entry),
        "revoke key": lambda entry: keys.revoke("k2", NOW, entry),
    }
    for name, call in calls.items():
        if name == "revoke key":
            await keys.add(key)
        with pytest.raises(NotImplementedError):
            await call(UNWRITABLE)
        rows = await world.value(
            "SELECT (SELECT count(*) FROM users WHERE id = 'cid' OR disabled_at IS NOT NULL"
            " OR tokens_revoked_at IS NOT NULL OR password_hash = 'new')"
            " + (SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL)"
            " + (SELECT count(*) FROM revoked_tokens)"
        )
        assert rows == 0, name
        if name == "add key":
            assert await world.value("SELECT count(*) FROM api_keys") == 0
    for call in list(calls.values())[:6]:
        await call(Entry(BY, Action.USER_DISABLED, ADA))
    assert len(await world.trail.page(Search(), 10)) == 6


async def test_the_trail_is_listed_newest_first_and_names_users_by_a_hash(world: World) -> None:
    own = By(ActorKind.USER, ADA)
    await world.trail.add(Entry(own, Action.USER_EXPORTED, ADA))
    await world.trail.add(Entry(BY, Action.KEY_REVOKED, "k9", {"why": "lost"}))
    await world.trail.add(Entry(BY, Action.USER_DISABLED, BOB))

    everything = await world.trail.page(Search(), 10)

    assert [entry.action for entry in everything] == ["user.disabled", "key.revoked", "user.exported"]
    disabled, revoked, exported = everything
    assert (revoked.actor_kind, revoked.actor, revoked.target) == ("key", "k1", "k9")
    assert (revoked.address, revoked.request_id, revoked.detail) == ("192.0.2.1", "r1", {"why": "lost"})
    assert exported.actor == exported.target
    assert str(exported.target).startswith("user:")
    assert "ada" not in str(exported)
    assert revoked.id.version == 7
    assert revoked.id.variant == "specified in RFC 4122"
    assert [one.id for one in everything] == sorted((one.id for one in everything), reverse=True)

    async def found(**search: Any) -> list[Recorded]:
        return list(await world.trail.page(Search(**search), 10))

    assert await found(target="ada") == await found(actor="ada") == [exported]
    assert await found(actor="k1") == [disabled, revoked]
    assert await found(action="key.revoked", target="k9") == [revoked]
    assert await found(since=revoked.at) == [disabled, revoked]
    assert list(await world.trail.page(Search(), 1, disabled.id)) == [revoked]


async def test_entries_are_kept_for_400_days(world: World) -> None:
    await world.trail.add(ERASE)
    prune = PruneAudit(retention=PostgresRetention(world.engine), clock=lambda: NOW)
    assert await prune() == 0

    (entry,) = await world.trail.page(Search(), 10)
    late = entry.at + timedelta(days=AUDIT_DAYS, seconds=1)
    assert await PruneAudit(retention=PostgresRetention(world.engine), clock=lambda: late)() == 1
    assert await world.trail.page(Search(), 10) == []


# --- the product ---


async def bellwire(product: Product, *words: str) -> tuple[int, str]:
    """Run a command; return its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bellwire",
        *words,
        env=product._environment,
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def closed(url: str, token: str, opened: asyncio.Event) -> tuple[int, float]:
    """Follow until the server ends the stream. Returns the code, and when."""
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with connect(url, additional_headers=headers, subprotocols=["bellwire.v1"]) as socket:  # type: ignore[list-item]
            await socket.recv()
            opened.set()
            while True:
                await socket.recv()
    except ConnectionClosed as error:
        return (error.rcvd.code if error.rcvd else 0), time.monotonic()


async def test_an_erased_user_is_gone_everywhere(product: Product, stores: Stores, run: Run) -> None:
    one, other, consumer = await asyncio.gather(product.api(), product.api(), product.consumer())
    async with one.client("ada") as here, other.client("ada") as there:
        await create_users(here, ["ada", "bob"])
        await _publish(here, ["ada"] * 5 + ["bob"])
        await eventually(lambda: _stored(stores, 6), "they are stored")
        assert (await there.get("/v1/users/ada/notifications")).json()["unread_count"] == 5
        assert [key async for key in stores.redis.scan_iter(f"{product.settings.redis_prefix}:*:{{ada}}")], (
            "the index holds the feed"
        )
        status, text = await bellwire(product, "users", "export", "ada")
        assert (status, json.loads(text.splitlines()[-1])["counts"]["notifications"]) == (0, 5)

        opened = asyncio.Event()
        url = f"{other.url.replace('http', 'ws')}/ws/ada"
        following = asyncio.create_task(closed(url, product.token("ada"), opened))
        await opened.wait()
        assert (await bellwire(product, "users", "erase", "ada"))[0] == 1, "without --yes"
        begun_at = time.monotonic()
        begun = (await here.delete("/v1/users/ada")).json()
        code, ended_at = await following
        assert code == 4513
        run.note(seconds_until_the_stream_was_closed=ended_at - begun_at)
        await eventually(lambda: _refuses(there, "ada"), "the other process refuses to publish")
        await eventually(lambda: _answers(there, 401), "the token is refused")

        await _late_record(product)
        await eventually(lambda: _dropped(consumer), "the late record is dropped")
        assert await metric(consumer, "bellwire_dead_letters_total") == 0
        await eventually(lambda: _finished(here, begun["id"]), "the erasure is finished")
        found = (await here.get(f"/v1/erasures/{begun['id']}")).json()
        assert found["deleted"] == {"users": 1, "notifications": 5}
        assert not [key async for key in stores.redis.scan_iter(f"{product.settings.redis_prefix}:*:{{ada}}")]
        assert await stores.postgres.fetchval(NOTHING_OF_ADA) == 0
        again = await here.post("/v1/users", json={"id": "ada", "name": "ada"})
        assert again.status_code == 409
        status, text = await bellwire(product, "audit", "--target", "ada", "--json")
        actions = [json.loads(line)["action"] for line in text.splitlines()]
        assert (status, actions) == (
            0,
            ["user.erasure-finished", "user.erased", "user.exported", "user.created"],
        )


async def test_a_consumer_that_is_killed_while_it_erases_is_followed_by_another(
    product: Product, stores: Stores
) -> None:
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client:
        await create_users(client, ["ada"])
        await stores.postgres.execute(
            "INSERT INTO notifications (user_id, id, version, event, message, category, metadata, created_at)"
            " SELECT 'ada', gen_random_uuid(), nth, 'a.b', 'm', 'a', '{}', now()"
            " FROM generate_series(1, 20000) AS nth"
        )
        begun = (await client.delete("/v1/users/ada")).json()["id"]
        await eventually(lambda: _begun(stores), "it deletes")
        consumer.kill()
        # In one snapshot: what PostgreSQL was doing for it may still be committed.
        both = "SELECT (deleted->>'notifications')::int + (SELECT count(*) FROM notifications) FROM erasures"
        assert await stores.postgres.fetchval(both) == 20_000

        await product.consumer()
        await eventually(lambda: _finished(client, begun), "the erasure is finished")
        deleted = (await client.get(f"/v1/erasures/{begun}")).json()["deleted"]
        assert deleted == {"users": 1, "notifications": 20_000}
        assert await stores.count() == 0


async def test_how_long_kafka_keeps_records_is_asked_or_unknown(product: Product) -> None:
    topics = Topics(product.settings.kafka_topic, 1, 1)
    keeps = await longest_retention(product.settings.kafka_bootstrap, topics)
    assert keeps is None or keeps >= timedelta(days=30)
    with pytest.raises(Unavailable):
        await longest_retention("127.0.0.1:1", topics)


async def _begun(stores: Stores) -> bool:
    return await stores.count() < 20_000


async def _publish(client: Any, users: list[str]) -> None:
    items = [{"user_id": user, "event": "a.b", "message": "hello"} for user in users]
    (await client.post("/v1/notifications/batch", json={"items": items})).raise_for_status()


async def _stored(stores: Stores, count: int) -> bool:
    return await stores.count() == count


async def _refuses(client: Any, user: str) -> bool:
    body = {"user_id": user, "event": "a.b", "message": "hello"}
    return bool((await client.post("/v1/notifications", json=body)).status_code == 404)


async def _answers(client: Any, status: int) -> bool:
    return bool((await client.get("/v1/users/ada/unread-count")).status_code == status)


async def _finished(client: Any, erasure: str) -> bool:
    return bool((await client.get(f"/v1/erasures/{erasure}")).json()["status"] == "finished")


async def _dropped(consumer: Any) -> bool:
    return await metric(consumer, "bellwire_erased_records_total") >= 1


async def _late_record(product: Product) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap)
    await producer.start()
    try:
        record = json.dumps({"user_id": "ada", "event": "a.b", "message": "late"}).encode()
        await producer.send_and_wait(product.settings.kafka_topic, record, key=b"ada")
    finally:
        await producer.stop()
