"""Faults of the soak on real servers: what they break while they last, and that it is whole behind them."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.conn import create_conn
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.kafka.records import Unreadable, unpack
from adapters.kafka.topics import Topics, ensure_topics
from tests import raw_records
from tests.product import eventually
from workbench.embedded import EmbeddedServers, RedisServer, started
from workbench.programs import MissingServer
from workbench.soak.damage import Damage
from workbench.soak.faults import CATALOGUE
from workbench.soak.product import Product
from workbench.soak.proxy import Proxy
from workbench.soak.stage import Stage

LONG = 30.0


def a_stage(servers: EmbeddedServers, damage: Damage | None = None) -> Stage:
    """Without the product: only the servers."""
    return Stage(servers, {}, damage or Damage(random.Random(1)), cast("Product", None))


# --- PostgreSQL ---


async def test_read_only_postgresql_ends_sessions_and_lets_nobody_write_until_he_connects_anew(
    servers: EmbeddedServers,
) -> None:
    postgres = servers.postgres
    if postgres is None:
        pytest.skip("these servers are somebody else's")
    stage, url = a_stage(servers), servers.postgres_url.replace("+asyncpg", "")
    before = await asyncpg.connect(url)
    session = (
        f"SELECT pid FROM pg_stat_activity WHERE pid = {await before.fetchval('SELECT pg_backend_pid()')}"
    )
    async with CATALOGUE["read-only PostgreSQL"].apply(stage):
        await eventually(lambda: not postgres.sql(session), "the session has ended")
        during = await asyncpg.connect(url)
        assert await during.fetchval("SELECT 1") == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await during.execute("CREATE TABLE soak ()")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await during.execute("CREATE TABLE soak ()")
    after = await asyncpg.connect(url)
    await after.execute("CREATE TABLE soak ()")
    await after.execute("DROP TABLE soak")
    for connection in (during, after):
        await connection.close()
    before.terminate()


# --- Redis ---


@pytest.fixture
def redis_alone(servers: EmbeddedServers, tmp_path: Path) -> Iterator[EmbeddedServers]:
    """With a Redis of the test's own."""
    try:
        with started(RedisServer(tmp_path), print) as server:
            yield replace(servers, redis_url=server.url, redis=server)
    except MissingServer as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize(
    ("fault", "pings"),
    [("demoted Redis", True), ("demoted Redis that does not serve stale data", False)],
)
async def test_demoted_redis_takes_no_writes_and_has_all_it_had_in_the_end(
    redis_alone: EmbeddedServers, fault: str, pings: bool
) -> None:
    stage = a_stage(redis_alone)
    async with Redis.from_url(redis_alone.redis_url) as client:
        await client.set("kept", "yes")
        async with CATALOGUE[fault].apply(stage):
            assert await refused(client, "SET", "kept", "no") == "READONLY"
            assert await refused(client, "PING") == ("" if pings else "MASTERDOWN")
        assert await client.get("kept") == b"yes"
        await client.set("kept", "new")
        assert await client.config_get("replica-serve-stale-data") == {"replica-serve-stale-data": "yes"}


async def refused(client: "Redis", *words: str) -> str:
    """The code with which Redis refuses a command; nothing if it does not."""
    try:
        await client.execute_command(*words)  # type: ignore[no-untyped-call]
    except RedisError as error:
        codes = {"ReadOnlyError": "READONLY", "MasterDownError": "MASTERDOWN"}
        return codes[type(error).__name__]
    return ""


async def test_redis_closes_connections_that_are_idle_only_while_that_lasts(
    redis_alone: EmbeddedServers,
) -> None:
    stage = a_stage(redis_alone)
    assert redis_alone.redis is not None
    async with CATALOGUE["Redis closes idle connections"].apply(stage):
        reader, writer = await asyncio.open_connection("127.0.0.1", redis_alone.redis.port)
        assert await asyncio.wait_for(reader.read(), LONG) == b""
        writer.close()
    async with Redis.from_url(redis_alone.redis_url) as client:
        assert await client.config_get("timeout") == {"timeout": "0"}


# --- Kafka ---


class Reader:
    """Asks for one partition, over one connection."""

    def __init__(self, connection: Any, topic: str) -> None:
        self._connection = connection
        self._topic = topic

    async def values(self) -> list[bytes]:
        """What can be read from the start on; none while nothing can."""
        asked = FetchRequest(500, 1, 1 << 20, 0, [(self._topic, [(0, 0, 1 << 20)])])
        answer = await self._connection.send(asked)
        ((_, ((_, code, *_, data),)),) = answer.topics
        assert code == 0
        try:
            records = unpack(data, TopicPartition(self._topic, 0), 0, highwater=10_000, most=99).records
        except Unreadable:
            return []
        return [record.value for record in records]

    async def topics(self) -> list[str]:
        answer = await self._connection.send(MetadataRequest([self._topic]))
        return [topic[1] for topic in answer.topics]


@asynccontextmanager
async def reading(proxy: Proxy, topic: str) -> AsyncIterator[Reader]:
    connection = await create_conn("127.0.0.1", proxy.port)
    try:
        yield Reader(connection, topic)
    finally:
        connection.close()


async def test_records_are_damaged_on_their_way_and_nothing_else_is(
    servers: EmbeddedServers, name: str
) -> None:
    await ensure_topics(servers.kafka_bootstrap, Topics(name, 1, replication=1))
    whole = [b"a", b"b", b"c"]
    for value in whole:
        await raw_records.send(servers.kafka_bootstrap, name, 0, raw_records.a_batch((b"k", value, ())))
    damage = Damage(random.Random(1), share=1.0)
    host, _, port = servers.kafka_bootstrap.rpartition(":")
    async with (
        Proxy.to(host, int(port), filtered=damage.connection) as proxy,
        reading(proxy, name) as reader,
    ):
        assert await reader.values() == whole
        async with CATALOGUE["damaged records from Kafka"].apply(a_stage(servers, damage)):
            for _ in range(20):
                proxy.slice(random.randrange(1, 40))
                got, topics = await asyncio.gather(reader.values(), reader.topics())
                assert got in ([], [b"a"], [b"a", b"b"])
                assert topics == [name]
        proxy.heal()
        assert await reader.values() == whole
        assert await reader.topics() == [name]
    assert damage.done.total() == 20
    assert proxy.accepted == 1
