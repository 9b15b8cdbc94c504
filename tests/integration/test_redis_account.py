"""What Bellwire asks of Redis: the commands that docs/operations.md lists, no more and no fewer."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from random import uniform
from secrets import token_hex, token_urlsafe
from time import monotonic
from typing import cast
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from adapters import clock as system
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.inspection import RedisInspection
from adapters.redis.limits import RedisRates
from adapters.redis.names import channel
from adapters.redis.server import RedisServer, connect
from adapters.redis.stages import RedisStages
from adapters.redis.subscriptions import Subscriptions
from adapters.redis.tickets import RedisTickets
from application.credentials import Claims
from application.ports import Use
from domain.states import Mark
from tests import contracts
from tests.build import ADA, LATER, MACS, NOW, an_id
from tests.integration.test_limits_redis import attempts_on
from tests.integration.test_redis import CAPACITY, Applied, a_hub, receiving
from tests.integration.test_redis_faults import playing
from tests.limit_contracts import HOME, HOURLY, VICTIM
from tests.memory import following
from tests.product import Product, Stores, eventually
from tests.redis_servers import PAGE, PASSWORD
from workbench import embedded
from workbench.embedded import LOOPBACK
from workbench.programs import REDIS_URL, MissingServer

INDEX = contracts.UnreadIndexContract()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.RedisServer]:
    try:
        own = embedded.RedisServer(tmp_path_factory.mktemp("redis"))
        with embedded.started(own, lambda _: None) as started:
            yield started
    except MissingServer as missing:
        pytest.skip(str(missing))


async def _everything(server: RedisServer, name: str, admin: Redis) -> None:
    """Use every adapter in every way that sends another command."""
    hub, index = a_hub(), RedisUnreadIndex(server, name, MACS, CAPACITY, uniform, token_hex)
    announcer = RedisAnnouncer(server, name, MACS, CAPACITY, uniform, clock=system.now)
    async with receiving(server, name, hub):
        async with following(hub, ADA) as stream:
            await stream.next(1)
            feed = await INDEX.load(Applied(index, server, name), 1, 2)
            await announcer.announce([change := INDEX.added(feed, 3)])
            await announcer.announce([INDEX.marked(change.feed, Mark.READ, 3, unread=2)])
            assert await contracts.AnnouncerContract.frames(stream, 2)
        cast(Subscriptions, hub.carrier)._left[ADA] = 0.0  # long ago
        await eventually(lambda: _unsubscribed(admin, name), "it is unsubscribed")
    await index.page(ADA, 5, None)
    await index.sample(1)
    await index.entry(ADA)
    tickets = RedisTickets(server, name, MACS, token_urlsafe)
    await tickets.redeem(await tickets.issue(Claims(ADA, LATER, NOW)))
    await RedisIdempotencyKeys(server, name, MACS, 0).claim("producer", "key", "print", an_id())
    await RedisRates(server, name).take(Use("publish", "ada", HOURLY, 1))
    attempts = attempts_on(server, name)
    await attempts.begin(VICTIM, HOME)
    await attempts.succeeded(VICTIM, HOME, known=False)
    await attempts.void(VICTIM, HOME, known=False)
    stages = RedisStages(server, name)
    stages.note("stored", [an_id()], NOW)
    await asyncio.gather(*stages._writing)
    await stages.of(an_id())
    await RedisInspection(server, name, MACS, system.now).look()
    await announcer.forget_everything()
    await index.erase(ADA)


async def _unsubscribed(admin: Redis, name: str) -> bool:
    ((_, count),) = await admin.pubsub_numsub(channel(name, ADA))
    return not count


def _listed() -> set[str]:
    """The commands of the narrower account in docs/operations.md."""
    found = re.search(r"^user bellwire on >… .* -@all (.*)$", PAGE.read_text(), re.MULTILINE)
    assert found
    return set(found[1].removeprefix("+").split(" +"))


async def test_it_sends_the_commands_that_are_listed(machine: embedded.RedisServer, name: str) -> None:
    server = RedisServer(connect(f"redis://{LOOPBACK}:{machine.port}/1", now=monotonic), monotonic)
    async with Redis(host=LOOPBACK, port=machine.port) as admin:
        await admin.script_flush()  # a script that the server does not know is sent whole, by EVAL
        await admin.config_resetstat()
        await _everything(server, name, admin)
        sent = {command.removeprefix("cmdstat_") for command in await admin.info("commandstats")}
    await server.close()

    assert sent - {"config|resetstat", "pubsub|numsub"} == _listed()


@pytest.fixture
async def account(machine: embedded.RedisServer, name: str) -> AsyncIterator[str]:
    """The URL with an account that may do what is listed, and nothing else."""
    words = [
        "reset",
        "on",
        f">{PASSWORD}",
        f"~{name}:*",
        f"&{name}:*",
        "-@all",
        *(f"+{c}" for c in _listed()),
    ]
    async with Redis(host=LOOPBACK, port=machine.port) as admin:
        await admin.execute_command("ACL", "SETUSER", "narrow", *words)  # type: ignore[no-untyped-call]
        await admin.execute_command("ACL", "LOG", "RESET")  # type: ignore[no-untyped-call]
        yield f"redis://narrow:{quote(PASSWORD, safe='')}@{LOOPBACK}:{machine.port}/1"
        assert await admin.execute_command("ACL", "LOG") == []  # type: ignore[no-untyped-call]


async def test_an_account_with_the_commands_that_are_listed_may_do_everything(
    machine: embedded.RedisServer, account: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(connect(account, now=monotonic), monotonic)
    try:
        async with Redis(host=LOOPBACK, port=machine.port) as admin:
            await _everything(server, name, admin)
        await server.ping()
    finally:
        await server.close()

    assert caplog.text == ""


@pytest.fixture
def environment(environment: Mapping[str, str], account: str) -> dict[str, str]:
    return {**environment, REDIS_URL: account}


async def test_the_product_needs_no_more_than_that(
    product: Product, stores: Stores, machine: embedded.RedisServer
) -> None:
    async with Redis(host=LOOPBACK, port=machine.port, db=1) as admin:
        await stores.redis.aclose()
        stores.redis = admin
        async with playing(product, stores) as scene:
            await scene.traffic.more(100)
            await eventually(scene.all_told, "all is told and indexed")
            assert await scene.redis_is(away=False)
