"""Limits of log-ins."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from application.accounts import LogIn
from application.audit import THE_SERVICE, By
from application.errors import Limited, NotAuthenticated
from application.limits import Limiter
from application.ports import LogInAttempts, Monotonic, TextForms
from domain.errors import Invalid
from domain.identifiers import UserId
from domain.rates import Patience, Rate

FAILED_LOG_INS: Final = "failed-log-ins"
OF_ACCOUNT: Final = "failed-log-ins-of-account"

CAP_SECONDS: Final = 15 * 60
"""The longest delay for an account at addresses that are not known."""
KNOWN_CAP_SECONDS: Final = 60
"""The longest delay at a known address, which only attempts at this address cause."""
KNOWN_ADDRESSES: Final = 20
"""How many addresses of an account are known."""
KNOWN_SECONDS: Final = 90 * 86_400
"""How long an address stays known after a log-in."""
KEPT_SECONDS: Final = (3_600, 12 * 3_600)
"""How long failures count after the last one: while they cause no delay, and once they do."""

_MOST_KEPT = 10_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedLogIn:
    """Log in, unless too many attempts failed. Raises NotAuthenticated, Limited.

    An attempt is counted before the password is checked, as failed until it succeeded: so many attempts
    together are no way around. From a known address it does not wait for others that do not come from one.
    Accounts that do not exist are counted in the same way as those that do.
    """

    log_in: LogIn
    attempts: LogInAttempts
    limiter: Limiter
    forms: TextForms

    async def __call__(
        self, email: str, password: str, address: str, by: By = THE_SERVICE
    ) -> tuple[UserId, str, int]:
        """The user, its token, and the token's lifetime in seconds."""
        self.limiter.take(address)
        account = self._account(email)
        known = await self.attempts.begin(account, address)
        try:
            session = await self.log_in(email, password, address, first=known, by=by)
        except NotAuthenticated:
            raise
        except BaseException:
            await self.attempts.void(account, address, known=known)
            raise
        await self.attempts.succeeded(account, address, known=known)
        return session

    def _account(self, email: str) -> str:
        """The name of an account, whether it exists or not, from which its address cannot be read."""
        with suppress(Invalid):
            email = self.forms.email(email)
        return _hashed(email)


def _hashed(account: str) -> str:
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class _Failures:
    __slots__ = ("count", "kept_until", "until")

    def __init__(self) -> None:
        self.count = 0
        self.until = 0.0
        self.kept_until = 0.0


class LocalLogInAttempts:
    """Failed log-ins as one process knows them: while Redis is away."""

    def __init__(self, patience: Patience, rate: Rate | None, now: Monotonic) -> None:
        self._patience = patience
        self._rate = rate
        self._now = now
        self._known: dict[str, dict[str, None]] = {}
        self._failures: dict[tuple[str, str], _Failures] = {}
        self._due: dict[str, float] = {}

    async def begin(self, account: str, address: str) -> bool:
        now, known = self._now(), address in self._known.get(account, ())
        failures = self._failures_of(account, address, known=known, now=now)
        if self._patience.free and failures.until > now:
            raise Limited(OF_ACCOUNT, failures.until - now)
        if not known and self._rate is not None:
            due = self._due.get(address, 0.0)
            if wait := self._rate.wait(due, now):
                raise Limited(FAILED_LOG_INS, wait)
            _kept(self._due)[address] = self._rate.after(due, now)
        failures.count += 1
        delay = self._patience.delay(failures.count, KNOWN_CAP_SECONDS if known else CAP_SECONDS)
        failures.until = now + delay
        failures.kept_until = now + KEPT_SECONDS[bool(delay)]
        return known

    async def succeeded(self, account: str, address: str, *, known: bool) -> None:
        self._failures.pop((account, address if known else ""), None)
        if not known:
            self._refund(address)
        addresses = _kept(self._known).setdefault(account, {})
        addresses.pop(address, None)
        addresses[address] = None
        if len(addresses) > KNOWN_ADDRESSES:
            del addresses[next(iter(addresses))]

    async def void(self, account: str, address: str, *, known: bool) -> None:
        failures = self._failures.get((account, address if known else ""))
        if failures is not None:
            failures.count = max(0, failures.count - 1)
            failures.until = 0.0
        if not known:
            self._refund(address)

    def _failures_of(self, account: str, address: str, *, known: bool, now: float) -> _Failures:
        key = account, address if known else ""
        failures = self._failures.get(key)
        if failures is None or failures.kept_until <= now:
            failures = _kept(self._failures)[key] = _Failures()
        return failures

    def _refund(self, address: str) -> None:
        if self._rate is not None and address in self._due:
            self._due[address] -= self._rate.interval


def _kept(held: dict[K, V]) -> dict[K, V]:
    """The same, without its oldest entry if there are too many."""
    if len(held) >= _MOST_KEPT:
        del held[next(iter(held))]
    return held
