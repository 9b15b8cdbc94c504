"""What the processes of an installation know together of what was taken, and of failed log-ins."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from domain.rates import Rate


class Use(NamedTuple):
    """What a party took of a limit."""

    limit: str
    """The name of the limit."""
    party: str
    rate: Rate
    cost: int


class Rates(Protocol):
    """What was taken of the limits, by all processes together. It may be forgotten at any time."""

    async def take(self, use: Use) -> tuple[bool, float]:
        """Take it if the rate allows it. Returns whether it does, and the seconds until the party is due, or
        the seconds to wait.
        """
        ...

    async def settle(self, uses: Sequence[Use]) -> Sequence[float]:
        """Add what was taken already. Returns for each the seconds until its party is due."""
        ...


class LogInAttempts(Protocol):
    """Failed log-ins, by account and by address.

    An address from which the account has logged in before is a **known** address of it. What happens at other
    addresses does not hold up a log-in from a known one, so that nobody can lock a user out. Forgets; never
    raises Unavailable.
    """

    async def begin(self, account: str, address: str) -> bool:
        """Count an attempt, as failed until more is said of it. Returns whether the address is known.

        Raises Limited.
        """
        ...

    async def succeeded(self, account: str, address: str, *, known: bool) -> None:
        """The attempt succeeded: the address is known from now on, and its failures are forgotten. Those at
        other addresses are forgotten as well, unless this one was known before.
        """
        ...

    async def void(self, account: str, address: str, *, known: bool) -> None:
        """The attempt was not judged. It does not count."""
        ...
