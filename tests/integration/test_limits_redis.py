"""The promises of the ports about limits, on Redis; and what only Redis can get wrong."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from adapters.redis.limits import RedisLogInAttempts, RedisRates
from adapters.redis.server import RedisServer, connect
from application.errors import Limited, Unavailable
from application.log_ins import LocalLogInAttempts
from application.ports import Use
from domain.rates import Patience, Rate
from tests import limit_contracts as contracts
from tests.limit_contracts import ELSEWHERE, FREE, HOME, HOURLY, PER_ADDRESS, VICTIM, PassDelay

NOWHERE = "redis://127.0.0.1:1/0"
NONSENSE = ["nan", "-nan", "inf", "-inf", "1e308", "9" * 30, "-1", "", "text", "0x7fffffffffff"]


@pytest.fixture
async def nobody() -> AsyncIterator[RedisServer]:
    """A server that is not there."""
    server = RedisServer(connect(NOWHERE, now=monotonic), monotonic)
    yield server
    await server.close()


def attempts_on(server: RedisServer, prefix: str, free: int = FREE) -> RedisLogInAttempts:
    patience = Patience(free)
    local = LocalLogInAttempts(patience, PER_ADDRESS, monotonic)
    return RedisLogInAttempts(server, prefix, patience, PER_ADDRESS, local)


class TestRedisRates(contracts.RatesContract):
    @pytest.fixture
    def rates(self, redis_server: RedisServer, name: str) -> RedisRates:
        return RedisRates(redis_server, name)

    async def test_a_key_lives_no_longer_than_it_is_needed(
        self, rates: RedisRates, redis_server: RedisServer, name: str
    ) -> None:
        await rates.take(Use("publish", "ada", HOURLY, 2))
        await rates.settle([Use("publish", "bob", HOURLY, 2)])

        keys = await redis_server.client.keys(f"{name}:*")
        assert len(keys) == 2
        for key in keys:
            assert 340_000 < await redis_server.client.pttl(key) <= 361_000

    @pytest.mark.parametrize("value", NONSENSE)
    async def test_what_is_no_time_counts_as_nothing(
        self, rates: RedisRates, redis_server: RedisServer, name: str, value: str
    ) -> None:
        await redis_server.client.set(f"{name}:limit:publish:ada", value)

        taken, behind = await rates.take(Use("publish", "ada", HOURLY, 1))
        assert taken
        assert behind == pytest.approx(180, abs=5)
        await redis_server.client.set(f"{name}:limit:publish:ada", value)
        assert await rates.settle([Use("publish", "ada", HOURLY, 1)]) == pytest.approx([180], abs=5)

    async def test_a_key_of_another_type_is_replaced_and_disturbs_no_other(
        self, rates: RedisRates, redis_server: RedisServer, name: str
    ) -> None:
        for party in ("ada", "eve"):
            await redis_server.client.lpush(f"{name}:limit:publish:{party}", "x")

        assert (await rates.take(Use("publish", "ada", HOURLY, 1)))[0]
        uses = [Use("publish", party, HOURLY, 1) for party in ("bob", "eve")]
        assert await rates.settle(uses) == pytest.approx([180, 180], abs=5)

    async def test_a_debt_is_bounded(self, rates: RedisRates) -> None:
        for _ in range(5):
            (behind,) = await rates.settle([Use("publish", "ada", Rate(100, 1), 10_000)])
        assert behind <= 12
        assert not (await rates.take(Use("publish", "ada", Rate(100, 1), 1)))[0]

    async def test_without_redis_it_says_so(self, nobody: RedisServer, name: str) -> None:
        with pytest.raises(Unavailable):
            await RedisRates(nobody, name).take(Use("publish", "ada", HOURLY, 1))


class TestRedisLogInAttempts(contracts.LogInAttemptsContract):
    @pytest.fixture
    def attempts(self, redis_server: RedisServer, name: str) -> RedisLogInAttempts:
        return attempts_on(redis_server, name)

    @pytest.fixture
    def pass_delay(self, redis_server: RedisServer, name: str) -> PassDelay:
        async def passed(account: str, address: str) -> None:
            key = f"{name}:failures:{account}" + (f":{address}" if address else "")
            if await redis_server.client.exists(key):
                await redis_server.client.hset(key, "u", "0")

        return passed

    async def test_two_processes_count_together(self, redis_server: RedisServer, name: str) -> None:
        first, second = (attempts_on(redis_server, name) for _ in range(2))
        await self.succeed(first, HOME)
        for process in (first, second, first):
            assert await self.fail(process) == 0

        assert await self.fail(second) > 0
        assert await second.begin(VICTIM, HOME)

    async def test_every_key_expires(
        self, attempts: RedisLogInAttempts, redis_server: RedisServer, name: str
    ) -> None:
        await self.succeed(attempts, HOME)
        await attempts.begin(VICTIM, HOME)
        for _ in range(FREE):
            await self.fail(attempts)
        await self.fail(attempts, account="once")

        ttls = {
            key: await redis_server.client.ttl(key) for key in await redis_server.client.keys(f"{name}:*")
        }
        assert len(ttls) == 5
        assert min(ttls.values()) > 0
        assert ttls[f"{name}:failures:once".encode()] <= 3_600

    @pytest.mark.parametrize("value", NONSENSE)
    async def test_nonsense_in_redis_shuts_nobody_out(
        self, attempts: RedisLogInAttempts, redis_server: RedisServer, name: str, value: str
    ) -> None:
        for field in ("n", "u"):
            await redis_server.client.hset(f"{name}:failures:{VICTIM}", field, value)
        await redis_server.client.set(f"{name}:limit:failed-log-ins:{ELSEWHERE}", value)

        assert await self.fail(attempts) == 0

    async def test_keys_of_other_types_shut_nobody_out(
        self, attempts: RedisLogInAttempts, redis_server: RedisServer, name: str
    ) -> None:
        parts = [f"log-ins:{VICTIM}", f"failures:{VICTIM}", f"failures:{VICTIM}:{HOME}"]
        for part in [*parts, f"limit:failed-log-ins:{HOME}"]:
            await redis_server.client.lpush(f"{name}:{part}", "x")

        await self.succeed(attempts, HOME)
        await redis_server.client.lpush(f"{name}:{parts[2]}", "x")
        await self.succeed(attempts, HOME)

        # Not only has the process gone on alone.
        types = [await redis_server.client.type(f"{name}:{part}") for part in parts]
        assert types[0] == b"zset"
        assert b"list" not in types

    async def test_without_redis_a_process_counts_alone(self, nobody: RedisServer, name: str) -> None:
        alone = attempts_on(nobody, name)
        await self.succeed(alone, HOME)
        for _ in range(FREE):
            assert await self.fail(alone) == 0

        assert await self.fail(alone) > 0
        assert await alone.begin(VICTIM, HOME)

    async def test_addresses_that_became_known_stay_known_when_redis_goes_away(
        self, attempts: RedisLogInAttempts, nobody: RedisServer
    ) -> None:
        await self.succeed(attempts, HOME)
        attempts._server = nobody

        async def out_of_reach(_client: object, **_: object) -> None:
            await nobody.client.ping()

        attempts._begin = out_of_reach  # type: ignore[assignment]
        assert await attempts.begin(VICTIM, HOME)

    async def test_delays_can_be_switched_off(self, redis_server: RedisServer, name: str) -> None:
        attempts = attempts_on(redis_server, name, free=0)
        for _ in range(PER_ADDRESS.count):
            await attempts.begin(VICTIM, ELSEWHERE)
        with pytest.raises(Limited):
            await attempts.begin(VICTIM, ELSEWHERE)


async def test_ten_thousand_parties_are_settled_quickly(redis_server: RedisServer, name: str) -> None:
    rates = RedisRates(redis_server, name)
    uses = [Use("requests", f"user-{nth}", Rate(10, 1), 1) for nth in range(10_000)]

    async with asyncio.timeout(30):
        for start in range(0, len(uses), 200):
            await rates.settle(uses[start : start + 200])
