"""ClusterLogInAttempts: failed log-ins where accounts and addresses are in different slots."""

from contextlib import suppress

from adapters.redis.limits import RedisLogInAttempts, RedisRates
from application.errors import Limited, Unavailable
from application.log_ins import FAILED_LOG_INS, LocalLogInAttempts
from application.ports import Use
from domain.rates import Rate


class ClusterLogInAttempts:
    """The limit of an address is taken of apart, after what is counted of the account: it takes a round trip
    more at an address that is not known.
    """

    def __init__(
        self, of_accounts: RedisLogInAttempts, rates: RedisRates, rate: Rate | None, local: LocalLogInAttempts
    ) -> None:
        self._of_accounts = of_accounts
        self._rates = rates
        self._rate = rate
        self._local = local

    async def begin(self, account: str, address: str) -> bool:
        known = await self._of_accounts.begin(account, address)
        if known or self._rate is None:
            return known
        try:
            await self._take(self._rate, account, address)
        except Limited:
            await self._of_accounts.void(account, address, known=False)
            raise
        return False

    async def succeeded(self, account: str, address: str, *, known: bool) -> None:
        await self._of_accounts.succeeded(account, address, known=known)
        await self._give_back(address, known=known)

    async def void(self, account: str, address: str, *, known: bool) -> None:
        await self._of_accounts.void(account, address, known=known)
        await self._give_back(address, known=known)

    async def _take(self, rate: Rate, account: str, address: str) -> None:
        try:
            taken, wait = await self._rates.take(Use(FAILED_LOG_INS, address, rate, 1))
        except Unavailable:
            await self._local.begin(account, address)
        else:
            if not taken:
                raise Limited(FAILED_LOG_INS, wait)

    async def _give_back(self, address: str, *, known: bool) -> None:
        if not known and self._rate is not None:
            with suppress(Unavailable):
                await self._rates.give_back(FAILED_LOG_INS, address, self._rate)
