"""What the ports about limits promise, as tests: see tests/contracts.py."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from application.errors import Limited
from application.log_ins import FAILED_LOG_INS, KNOWN_ADDRESSES, OF_ACCOUNT
from application.ports import LogInAttempts, Rates, Use
from domain.rates import Patience, Rate
from tests.product import eventually

HOURLY = Rate(20, 3600)
FREE = 3
PATIENCE = Patience(FREE)
PER_ADDRESS = Rate(12, 36_000)
VICTIM, HOME, ELSEWHERE = "account-1", "192.0.2.1", "203.0.113.9"

PassDelay: TypeAlias = Callable[[str, str], Awaitable[None]]
"""Lets the delay of an account pass, at an address; the account's failures stay."""


class RatesContract:
    """Needs `rates`."""

    async def test_as_many_as_the_rate_has_are_taken_and_then_none(self, rates: Rates) -> None:
        outcomes = [await rates.take(Use("publish", "ada", HOURLY, 1)) for _ in range(21)]

        assert [taken for taken, _ in outcomes] == [True] * 20 + [False]
        assert outcomes[0][1] == pytest.approx(180, abs=5)
        assert outcomes[-1][1] == pytest.approx(180, abs=30)

    async def test_many_at_once_take_no_more(self, rates: Rates) -> None:
        use = Use("publish", "ada", HOURLY, 1)
        outcomes = await asyncio.gather(*(rates.take(use) for _ in range(50)))

        assert sum(taken for taken, _ in outcomes) == 20

    async def test_parties_and_limits_are_counted_apart(self, rates: Rates) -> None:
        await rates.take(Use("publish", "ada", HOURLY, 20))

        assert (await rates.take(Use("publish", "bob", HOURLY, 20)))[0]
        assert (await rates.take(Use("marks", "ada", HOURLY, 20)))[0]
        assert not (await rates.take(Use("publish", "ada", HOURLY, 1)))[0]

    async def test_it_comes_back(self, rates: Rates) -> None:
        quick = Use("publish", "ada", Rate(20, 1), 10)
        await rates.take(quick)
        await rates.take(quick)

        async def taken() -> bool:
            return (await rates.take(quick))[0]

        await eventually(taken, "half of it is back")

    async def test_what_costs_more_than_the_rate_has_is_taken_when_all_is_there(self, rates: Rates) -> None:
        batch = Use("publish", "ada", HOURLY, 50)

        taken, behind = await rates.take(batch)
        assert taken
        assert behind == pytest.approx(9_000, abs=5)
        assert (await rates.take(batch))[0] is False
        assert (await rates.take(Use("publish", "ada", HOURLY, 1)))[1] == pytest.approx(5_580, abs=30)

    async def test_what_was_taken_elsewhere_is_added_whether_or_not_the_rate_allows_it(
        self, rates: Rates
    ) -> None:
        ada, bob = Use("publish", "ada", HOURLY, 15), Use("publish", "bob", HOURLY, 1)

        assert await rates.settle([ada, bob]) == pytest.approx([2_700, 180], abs=5)
        assert await rates.settle([ada]) == pytest.approx([5_400], abs=30)
        assert (await rates.take(bob))[0]
        assert not (await rates.take(ada))[0]

    async def test_nothing_to_settle_is_settled(self, rates: Rates) -> None:
        assert list(await rates.settle([])) == []


class LogInAttemptsContract:
    """Needs `attempts`, with PATIENCE and PER_ADDRESS, and `pass_delay`."""

    async def fail(self, attempts: LogInAttempts, address: str = ELSEWHERE, account: str = VICTIM) -> float:
        """An attempt that fails. Returns the seconds for which it was refused, 0 if it was not."""
        (outcome,) = await asyncio.gather(attempts.begin(account, address), return_exceptions=True)
        if isinstance(outcome, bool):
            return 0
        assert isinstance(outcome, Limited)
        assert outcome.limit == OF_ACCOUNT
        return outcome.retry_seconds

    async def succeed(self, attempts: LogInAttempts, address: str, account: str = VICTIM) -> None:
        known = await attempts.begin(account, address)
        await attempts.succeeded(account, address, known=known)

    async def test_the_first_failures_cause_no_delay_and_then_it_doubles(
        self, attempts: LogInAttempts, pass_delay: PassDelay
    ) -> None:
        assert [await self.fail(attempts) for _ in range(FREE)] == [0, 0, 0]
        delays = []
        for _ in range(5):
            delays.append(await self.fail(attempts))
            await pass_delay(VICTIM, "")
            assert await self.fail(attempts) == 0
        assert delays == [1, 2, 4, 8, 16]

    async def test_the_delay_has_a_limit(self, attempts: LogInAttempts, pass_delay: PassDelay) -> None:
        for nth in range(FREE + 15):
            await pass_delay(VICTIM, "")
            assert await self.fail(attempts, f"203.0.113.{nth}") == 0

        assert await self.fail(attempts) == 900

    async def test_what_is_refused_makes_nothing_longer(
        self, attempts: LogInAttempts, pass_delay: PassDelay
    ) -> None:
        for _ in range(FREE):
            await self.fail(attempts)
        for _ in range(50):
            assert await self.fail(attempts) == 1
        await pass_delay(VICTIM, "")
        await self.fail(attempts)
        assert await self.fail(attempts) == 2

    async def test_many_attempts_together_are_no_way_around(self, attempts: LogInAttempts) -> None:
        refused = await asyncio.gather(*(self.fail(attempts) for _ in range(20)))

        assert sum(seconds == 0 for seconds in refused) == FREE

    async def test_accounts_are_counted_apart_and_addresses_together(self, attempts: LogInAttempts) -> None:
        for nth in range(FREE):
            await self.fail(attempts, f"203.0.113.{nth}")

        assert await self.fail(attempts, "198.51.100.1") > 0
        assert await self.fail(attempts, account="account-2") == 0

    async def test_a_success_forgets_the_failures(self, attempts: LogInAttempts) -> None:
        for _ in range(FREE - 1):
            await self.fail(attempts)
        await self.succeed(attempts, ELSEWHERE)

        assert [await self.fail(attempts, "198.51.100.1") for _ in range(FREE)] == [0, 0, 0]

    async def test_nobody_can_lock_a_user_out_of_an_address_from_which_it_has_logged_in(
        self, attempts: LogInAttempts
    ) -> None:
        await self.succeed(attempts, HOME)
        for _ in range(FREE + 1):
            await self.fail(attempts)

        await self.succeed(attempts, HOME)
        assert await self.fail(attempts) > 0  # and the success there does not help who guesses elsewhere

    async def test_failures_at_a_known_address_delay_only_there_and_not_for_long(
        self, attempts: LogInAttempts, pass_delay: PassDelay
    ) -> None:
        await self.succeed(attempts, HOME)
        for _ in range(FREE + 10):
            await pass_delay(VICTIM, HOME)
            await self.fail(attempts, HOME)

        assert await self.fail(attempts, HOME) == 60
        assert await self.fail(attempts, ELSEWHERE) == 0

    async def test_an_attempt_that_was_not_judged_does_not_count(self, attempts: LogInAttempts) -> None:
        for address in (ELSEWHERE, HOME):
            for _ in range(30):
                known = await attempts.begin(VICTIM, address)
                await attempts.void(VICTIM, address, known=known)
            await self.succeed(attempts, address)

    async def test_an_address_may_fail_a_number_of_times_whatever_the_accounts(
        self, attempts: LogInAttempts
    ) -> None:
        await self.succeed(attempts, ELSEWHERE, "a colleague")
        for nth in range(PER_ADDRESS.count):
            await attempts.begin(f"guess {nth}", ELSEWHERE)

        with pytest.raises(Limited) as refused:
            await attempts.begin("another guess", ELSEWHERE)
        assert refused.value.limit == FAILED_LOG_INS
        assert 2_900 < refused.value.retry_seconds <= 3_000
        await attempts.begin("another guess", HOME)
        await self.succeed(attempts, ELSEWHERE, "a colleague")

    async def test_successes_do_not_count_for_an_address(self, attempts: LogInAttempts) -> None:
        for nth in range(3 * PER_ADDRESS.count):
            await self.succeed(attempts, HOME, f"account {nth}")

    async def test_only_the_last_addresses_of_an_account_are_known(self, attempts: LogInAttempts) -> None:
        for nth in range(KNOWN_ADDRESSES + 1):
            await self.succeed(attempts, f"192.0.2.{nth}")
        await self.succeed(attempts, f"192.0.2.{KNOWN_ADDRESSES}")
        for _ in range(FREE):
            await self.fail(attempts)

        assert await self.fail(attempts, f"192.0.2.{KNOWN_ADDRESSES}") == 0
