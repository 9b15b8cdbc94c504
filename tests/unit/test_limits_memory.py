"""The ports about limits in memory keep the promises of the ports."""

from time import monotonic

import pytest

from application.errors import Limited
from application.log_ins import LocalLogInAttempts
from application.ports import LogInAttempts, Rates
from domain.rates import Patience
from tests import limit_contracts as contracts
from tests.build import TestSeconds
from tests.limit_contracts import PATIENCE, PER_ADDRESS, PassDelay
from tests.memory import MemoryRates


class TestMemoryRates(contracts.RatesContract):
    @pytest.fixture
    def rates(self) -> Rates:
        return MemoryRates(monotonic)


class TestLocalLogInAttempts(contracts.LogInAttemptsContract):
    @pytest.fixture
    def seconds(self) -> TestSeconds:
        return TestSeconds()

    @pytest.fixture
    def attempts(self, seconds: TestSeconds) -> LogInAttempts:
        return LocalLogInAttempts(PATIENCE, PER_ADDRESS, seconds)

    @pytest.fixture
    def pass_delay(self, attempts: LocalLogInAttempts) -> PassDelay:
        async def passed(account: str, address: str) -> None:
            if failures := attempts._failures.get((account, address)):
                failures.until = 0.0

        return passed

    async def test_failures_that_caused_no_delay_are_forgotten_after_an_hour(
        self, attempts: LogInAttempts, seconds: TestSeconds
    ) -> None:
        for _ in range(3):
            for _ in range(contracts.FREE - 1):
                assert await self.fail(attempts) == 0
            seconds.advance(3_601)
        for _ in range(contracts.FREE):
            assert await self.fail(attempts) == 0
        assert await self.fail(attempts) > 0

    async def test_it_remembers_a_bounded_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("application.log_ins._MOST_KEPT", 50)
        attempts = LocalLogInAttempts(Patience(3), None, monotonic)
        for nth in range(500):
            known = await attempts.begin(f"account {nth}", "192.0.2.1")
            await attempts.succeeded(f"account {nth}", "192.0.2.1", known=known)
            await attempts.begin(f"guess {nth}", "192.0.2.1")

        assert len(attempts._known) <= 50
        assert len(attempts._failures) <= 50

    async def test_both_limits_can_be_switched_off(self) -> None:
        attempts = LocalLogInAttempts(Patience(0), None, monotonic)
        for _ in range(200):
            await attempts.begin("account", "192.0.2.1")

    async def test_the_limits_do_not_depend_on_each_other(self) -> None:
        attempts = LocalLogInAttempts(Patience(0), PER_ADDRESS, monotonic)
        for _ in range(PER_ADDRESS.count):
            await attempts.begin("account", "192.0.2.1")
        with pytest.raises(Limited):
            await attempts.begin("account", "192.0.2.1")
