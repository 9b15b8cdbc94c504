"""Limits of rates, which hold across the processes of an installation."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from application.errors import Limited, Unavailable
from application.ports import Monotonic, Rates, Use
from domain.rates import Rate

PUBLISH = "publish"
REQUESTS = "requests"
MARKS = "marks"
TICKETS = "tickets"
OPENINGS = "openings"
SIGN_UPS = "sign-ups"
LOG_INS = "log-ins"
FAILURES = "failures"
REFUSED = "refused"

_MOST_PARTIES = 50_000
_SHARE = 10
_AT_ONCE = 200
# Between two settlements, so that they are a bounded load for Redis.
_PAUSE_SECONDS = 0.02
_SWEEP_SECONDS = 10.0
_ASK_SECONDS = 1.0
_SWEPT_AT_ONCE = 1_000
# A server that says that a party is due later than this is not believed.
_MOST_BEHIND = 3


class Allowance(NamedTuple):
    """What a party may still take of a limit."""

    limiter: "Limiter"
    rate: Rate
    behind: float
    """The seconds until everything is there again; if it was refused, until it may be tried again."""
    refused: bool = False


class _Account:
    """What one party took: when it is due, and how many of them the others do not know yet. And when to ask
    them again, where only they take.
    """

    __slots__ = ("ask_at", "due", "unsettled")

    def __init__(self, due: float) -> None:
        self.due = due
        self.unsettled = 0
        self.ask_at = due


class Limiter:
    """One limit, for every party.

    `take` does not wait: it decides by what this process knows, which includes what the others took when it
    settled last. It settles with them each time a party has taken another tenth of the limit here. So the
    processes together admit too many by up to a tenth of the limit for each process, and what is taken while
    a settlement is on its way.

    `take_together` asks the others each time, and is exact. Only this process counts while they cannot be
    reached.

    `check` is for a limit of which other processes take. It does not wait either: it knows what they said the
    last time, a second ago in a party that is busy.
    """

    def __init__(
        self,
        name: str,
        rate: Rate | None,
        *,
        rates: Rates,
        now: Monotonic,
        settle: "Callable[[Limiter, str], None]",
        comment: str = "",
        most_parties: int = _MOST_PARTIES,
    ) -> None:
        """`rate` is None for no limit; `comment` goes into the policy."""
        self.name = name
        self.rate = rate
        self.policy = f'"{name}";q={rate.count};w={rate.seconds}{comment}' if rate else ""
        """The limit and its rate, as in the header RateLimit-Policy."""
        self._rates = rates
        self._now = now
        self._settle = settle
        self._share = max(1, rate.count // _SHARE) if rate else 0
        self._most_parties = most_parties
        self._accounts: dict[str, _Account] = {}

    def take(self, party: str, cost: int = 1) -> Allowance | None:
        """Take so many, for a party. Raises Limited. None if there is no limit."""
        rate = self.rate
        if rate is None:
            return None
        now = self._now()
        account = self._accounts.get(party) or self._opened(party, now)
        due = rate.after(account.due, now, cost)
        # Most requests are far from the limit, and pass here: this is on the way of each.
        if due - now > rate.seconds and (wait := rate.wait(account.due, now, cost)):
            raise self._limited(rate, wait)
        account.due = due
        account.unsettled += cost
        if account.unsettled >= self._share:
            self._settle(self, party)
        return Allowance(self, rate, due - now)

    async def take_together(self, party: str, cost: int = 1) -> Allowance | None:
        """The same as `take`, but exact: all processes together."""
        if self.rate is None:
            return None
        try:
            allowed, seconds = await self._rates.take(Use(self.name, party, self.rate, cost))
        except Unavailable:
            return self.take(party, cost)
        if not allowed:
            raise self._limited(self.rate, min(seconds, self.rate.seconds))
        return Allowance(self, self.rate, seconds)

    def check(self, party: str) -> None:
        """Raise Limited if others took more than the limit of a party. Nothing is taken."""
        rate = self.rate
        if rate is None:
            return
        now = self._now()
        account = self._accounts.get(party) or self._opened(party, now)
        if now >= account.ask_at:
            account.ask_at = now + _ASK_SECONDS
            self._settle(self, party)
        if account.due > now and (wait := rate.wait(account.due, now)):
            raise self._limited(rate, wait)

    def use(self, party: str) -> Use | None:
        """What a party took that the others do not know; they are going to be told. Nothing, if they are only
        to be asked.
        """
        account = self._accounts.get(party)
        if self.rate is None or account is None or not (account.unsettled or account.ask_at > self._now()):
            return None
        taken, account.unsettled = account.unsettled, 0
        return Use(self.name, party, self.rate, taken)

    def learn(self, party: str, seconds: float) -> None:
        """The others say when a party is due. What it took here since then comes on top."""
        account = self._accounts.get(party)
        if self.rate is None or account is None:
            return
        believed = min(seconds, _MOST_BEHIND * self.rate.seconds)
        account.due = max(account.due, self._now() + believed + account.unsettled * self.rate.interval)

    async def sweep(self) -> None:
        """Forget the parties that have everything again."""
        now = self._now()
        parties = list(self._accounts)
        for start in range(0, len(parties), _SWEPT_AT_ONCE):
            for party in parties[start : start + _SWEPT_AT_ONCE]:
                account = self._accounts.get(party)
                if account is not None and account.due <= now:
                    del self._accounts[party]
            await asyncio.sleep(0)

    def clear(self) -> None:
        """Forget every party."""
        self._accounts.clear()

    def __len__(self) -> int:
        return len(self._accounts)

    def _opened(self, party: str, now: float) -> _Account:
        if len(self._accounts) >= self._most_parties:
            del self._accounts[next(iter(self._accounts))]
        self._accounts[party] = account = _Account(now)
        return account

    def _limited(self, rate: Rate, wait: float) -> Limited:
        return Limited(self.name, wait, Allowance(self, rate, wait, refused=True))


class Limits:
    """The limits of a process."""

    def __init__(self, limits: Mapping[str, Rate | None], rates: Rates, now: Monotonic) -> None:
        """`limits` has a rate for each name."""
        self._rates = rates
        self._wanted: dict[tuple[Limiter, str], None] = {}
        self._asked: asyncio.Event | None = None

        def made(name: str, comment: str = "") -> Limiter:
            return Limiter(name, limits[name], rates=rates, now=now, settle=self._want, comment=comment)

        self.publish = made(PUBLISH, ';bellwire-unit="notifications"')
        self.requests = made(REQUESTS)
        self.marks = made(MARKS)
        self.tickets = made(TICKETS)
        self.openings = made(OPENINGS)
        self.sign_ups = made(SIGN_UPS)
        self.log_ins = made(LOG_INS)
        self.failures = made(FAILURES)
        self.refused = made(REFUSED, ';bellwire-unit="notifications"')

    @property
    def all(self) -> Iterable[Limiter]:
        """Every one of them."""
        return (
            self.publish,
            self.requests,
            self.marks,
            self.tickets,
            self.openings,
            self.sign_ups,
            self.log_ins,
            self.failures,
            self.refused,
        )

    async def run(self) -> None:
        """Settle with the other processes, and forget what is no longer needed, forever."""
        asked = self._asked = asyncio.Event()
        sweep = asyncio.create_task(self._sweep())
        try:
            while True:
                await asked.wait()
                asked.clear()
                await self.settle()
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            sweep.cancel()
            with suppress(asyncio.CancelledError):
                await sweep

    async def settle(self) -> None:
        """Tell the others what was taken here, and learn what they took.

        While they cannot be reached, what was taken is forgotten: added later, it would refuse requests
        because of those of a time that is over.
        """
        while self._wanted:
            settled = list(self._wanted)[:_AT_ONCE]
            for one in settled:
                del self._wanted[one]
            uses = [(limiter, use) for limiter, party in settled if (use := limiter.use(party))]
            with suppress(Unavailable):
                behind = await self._rates.settle([use for _, use in uses])
                for (limiter, use), seconds in zip(uses, behind, strict=True):
                    limiter.learn(use.party, seconds)

    def clear(self) -> None:
        """Forget everything."""
        self._wanted.clear()
        for limiter in self.all:
            limiter.clear()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for limiter in self.all:
                await limiter.sweep()

    def _want(self, limiter: Limiter, party: str) -> None:
        self._wanted[limiter, party] = None
        if self._asked is not None:
            self._asked.set()
