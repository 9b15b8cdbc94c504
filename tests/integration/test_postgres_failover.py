"""A primary that is killed during traffic, with its standby promoted: what is lost, and what heals it."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import uniform
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx
import pytest
from redis.asyncio import Redis

from adapters.postgres.engine import create_engine
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.migrations import upgrade
from adapters.postgres.users import PostgresUsers
from tests.build import ADA, a_user, drafts
from tests.conftest import as_read, in_thread, installation
from tests.integration.conftest import Run
from tests.integration.test_postgres_reach import appends, has_caught_up, is_well
from tests.postgres_servers import TcpPostgres
from tests.product import Api, Follower, Product, Stores, create_users, eventually
from workbench.embedded import EmbeddedServers
from workbench.soak.stores import Topic

USERS = ["ada", "bob", "cleo"]
DATABASE = "bellwire"
NEW_EPOCHS = "UPDATE feeds SET epoch = substr(md5(gen_random_uuid()::text), 1, 8)"  # of docs/operations.md


class Pair:
    """A primary and its standby, which can change places."""

    def __init__(self, folder: Path) -> None:
        self.servers = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            self.servers.append(TcpPostgres(folder / name))
        self.primary, self.standby = self.servers

    @property
    def url(self) -> str:
        """Of both, the first one first."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"postgresql://postgres@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def follow(self, *, synchronous: bool) -> None:
        """Have the standby copy the primary, and follow it."""
        data, account = self.standby._data, self.primary._run_as
        shutil.rmtree(data, ignore_errors=True)
        if account:
            os.chown(data.parent, account.pw_uid, account.pw_gid)
        source = ("-h", str(self.primary._sockets), "-p", str(self.primary.port))
        copied = ("-D", str(data), "--write-recovery-conf", "--no-sync", "--checkpoint=fast")
        self.primary._checked(self.primary._run("pg_basebackup", *source, *copied, account=account))
        for left in data.glob(".s.PGSQL.*"):
            left.unlink()
        self.standby.start()
        # Only now, or the copy would wait for a standby of its own.
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{'*' if synchronous else ''}'")
        self.primary.sql("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make the standby the primary. The other one must have ended."""
        self.standby.sql("SELECT pg_promote()")
        self.primary, self.standby = self.standby, self.primary


@pytest.fixture
def pair() -> Iterator[Pair]:
    with TemporaryDirectory(prefix="bellwire-tests-") as folder:
        made = Pair(Path(folder))
        try:
            made.primary.start()
            yield made
        finally:
            for server in made.servers:
                server.stop()


@asynccontextmanager
async def product_on(
    pair: Pair, servers: EmbeddedServers, folder: Path, *, synchronous: bool
) -> AsyncIterator[tuple[Product, Api]]:
    environment = installation(servers, pair.url, f"failover-{token_hex(4)}")
    product = Product(folder, environment, as_read(environment))
    try:
        await product.prepare()
        await asyncio.to_thread(pair.follow, synchronous=synchronous)
        api, _ = await asyncio.gather(product.api(), product.consumer())
        async with api.client("ada") as client:
            await create_users(client, USERS)
        yield product, api
    finally:
        await product.stop()


class Traffic:
    """Publishes, and notes what was accepted."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._task: asyncio.Task[None] | None = None
        self._goes_on = True
        self.accepted: list[str] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._goes_on = False
        if self._task:
            await self._task

    async def publish(self, count: int) -> list[str]:
        """So many, one after the other."""
        before = len(self.accepted)
        while len(self.accepted) < before + count:
            await self._once()
        return self.accepted[before:]

    async def more(self, count: int = 20) -> None:
        before = len(self.accepted)
        await eventually(lambda: len(self.accepted) >= before + count, "more is accepted")

    async def _run(self) -> None:
        while self._goes_on:
            await self._once()
            await asyncio.sleep(0.01)

    async def _once(self) -> None:
        number = len(self.accepted)
        body = {"user_id": USERS[number % 3], "event": "a.b", "message": f"number {number}"}
        answer = await self._client.post("/v1/notifications", json=body)
        if answer.status_code == 202:
            self.accepted.append(answer.json()["id"])


async def fails_over(pair: Pair) -> float:
    """Kill the primary, and promote the standby; the time when it was promoted."""
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.to_thread(pair.promote)
    return time.monotonic()


async def hears_more(device: Follower) -> None:
    known = len(device.created)
    await eventually(lambda: len(device.created) > known, "it is live again")


async def all_stored(product: Product, accepted: Sequence[str]) -> None:
    async def stored() -> bool:
        async with Stores.open(product.settings) as stores:
            return set(accepted) <= set(await stores.ids())

    await eventually(stored, "all that was accepted is stored")


async def listed(client: httpx.AsyncClient) -> set[str]:
    """What Ada's list has, page by page."""
    found, more = set[str](), ""
    while True:
        answer = await client.get(f"/v1/users/ada/notifications?status=all&limit=100{more}")
        answer.raise_for_status()
        page = answer.json()
        found |= {item["id"] for item in page["items"]}
        if not page["next_cursor"]:
            return found
        more = f"&cursor={page['next_cursor']}"


async def test_with_synchronous_replication_a_failover_and_one_back_lose_nothing(
    pair: Pair, servers: EmbeddedServers, tmp_path: Path, run: Run
) -> None:
    async with (
        product_on(pair, servers, tmp_path, synchronous=True) as (product, api),
        api.client("ada") as client,
        api.follow("ada") as device,
        Traffic(client) as traffic,
    ):
        for way in ("there", "back"):
            await traffic.more()
            promoted = await fails_over(pair)
            await hears_more(device)
            run.note(**{f"live_{way}_after_s": time.monotonic() - promoted})
            await traffic.more()
            await asyncio.to_thread(pair.follow, synchronous=True)
        await traffic.stop()
        await all_stored(product, traffic.accepted)
        mine = set(traffic.accepted[::3])
        await eventually(lambda: mine <= set(device.items), "all came live")
        assert mine == set(device.items) == await listed(client)
        assert (device.holes, device.turned_back, device.miscounted, device.resets) == ([], [], [], [])
        async with Stores.open(product.settings) as stores:
            assert await stores.miscounted_feeds() == []


async def test_what_an_asynchronous_standby_had_not_got_is_healed_by_new_epochs_and_reading_again(
    pair: Pair, servers: EmbeddedServers, tmp_path: Path
) -> None:
    """The last transactions are lost, with offsets committed behind them, and versions are assigned again."""
    async with (
        product_on(pair, servers, tmp_path, synchronous=False) as (product, api),
        api.client("ada") as client,
        api.follow("ada") as device,
    ):
        traffic = Traffic(client)
        kept = await traffic.publish(30)
        await all_stored(product, kept)
        await eventually(lambda: has_caught_up(pair.primary), "the standby has it all")
        pair.standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
        pair.standby.sql("SELECT pg_reload_conf()")
        await eventually(lambda: alone(pair.primary), "the standby gets nothing more")
        lost = await traffic.publish(30)
        await all_stored(product, lost)
        await eventually(lambda: set(lost[::3]) <= set(device.items), "it was shown")
        ahead = device.cursor
        await eventually(lambda: committed(product, 60), "the offsets are committed")

        await fails_over(pair)

        # A cursor ahead of the feed is a reset, never a stream with a hole.
        await eventually(lambda: readable(client), "lists are answered")
        late = Follower([api.url], "ada", product.token, cursor=ahead)
        async with late:
            await eventually(lambda: late.resets, "it is reset")
        assert late.resets[0].startswith("future:")
        later = await traffic.publish(90)
        await all_stored(product, later + kept)
        async with Stores.open(product.settings) as stores:
            assert not set(lost) & set(await stores.ids())

        await asyncio.to_thread(pair.primary.sql, NEW_EPOCHS, database=DATABASE)
        await forget_index(product)
        again = await product.consumer(group=f"again-{token_hex(4)}")
        await all_stored(product, traffic.accepted)
        await asyncio.to_thread(again.stop)

        await traffic.publish(3)  # a frame of the new epoch tells sooner than the comparison of positions
        await all_stored(product, traffic.accepted)
        mine = set(traffic.accepted[::3])
        assert await listed(client) == mine
        await eventually(lambda: any(why.startswith("epoch:") for why in device.resets), "it is reset")
        async with Stores.open(product.settings) as stores:
            assert await stores.miscounted_feeds() == []


async def readable(client: httpx.AsyncClient) -> bool:
    try:
        return bool(await listed(client))
    except httpx.HTTPStatusError:
        return False


async def alone(primary: TcpPostgres) -> bool:
    return await asyncio.to_thread(primary.sql, "SELECT count(*) FROM pg_stat_replication") == "0\n"


async def committed(product: Product, count: int) -> bool:
    """Whether so many records will not be read again."""
    settings = product.settings
    topic = Topic(
        settings.kafka_bootstrap, settings.kafka_topic, settings.kafka_group, settings.kafka_partitions
    )
    return sum((await topic.committed()).values()) == count


async def forget_index(product: Product) -> None:
    async with Redis.from_url(product.settings.redis_url) as redis:
        for pattern in ("feed:*", "unread:*"):
            async for key in redis.scan_iter(f"{product.settings.redis_prefix}:{pattern}"):
                await redis.delete(key)


# --- a name that moves ------------------------------------------------------------------------------------


async def test_a_name_that_moves_to_the_new_primary_is_followed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """As managed servers do it: both listen on one port, of two addresses."""
    loop = asyncio.get_running_loop()
    leads_to = [pair.primary]
    resolve = loop.getaddrinfo

    async def resolved(host: Any, port: Any, **options: Any) -> Any:
        if host == "db.example.com":
            host, port = "127.0.0.1", leads_to[0].port
        return await resolve(host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", resolved)
    in_thread(lambda: upgrade(pair.primary.url))
    await asyncio.to_thread(pair.follow, synchronous=True)
    url = f"postgresql://postgres@db.example.com:{pair.primary.port}/{DATABASE}"
    engine = create_engine(url, pool_size=2, application="tests", jitter=uniform)
    try:
        await PostgresUsers(engine, token_hex).add(a_user(ADA), None)
        feeds = PostgresFeeds(engine)
        await feeds.append(drafts(3))
        await fails_over(pair)
        assert not await is_well(engine)
        leads_to[:] = [pair.primary]
        moved = time.monotonic()

        await eventually(lambda: appends(feeds), "the new primary is written")

        run.note(written_after_s=time.monotonic() - moved)
        assert (await feeds.feed(ADA)).version == 4
    finally:
        await engine.dispose()
