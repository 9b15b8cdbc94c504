"""Refused records: what a key is charged with that sends records which cannot be stored."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from application.errors import Unavailable
from application.limits import REFUSED
from application.ports import Rates, Use
from domain.rates import Rate


class ChargeRefused:
    """Charge API keys with their dead letters, where every API process can see it.

    A key that is charged with more than the rate may not publish until the rest is paid off. While the others
    cannot be reached nothing is charged: dead letters must not wait for that.
    """

    def __init__(self, rate: Rate | None, rates: Rates) -> None:
        """`rate` is None for no limit."""
        self._rate = rate
        self._rates = rates

    async def __call__(self, key_ids: Iterable[str]) -> None:
        """Charge each key with one record for every time that it is named."""
        rate = self._rate
        if rate is None:
            return
        charges = [Use(REFUSED, key, rate, count) for key, count in Counter(key_ids).items()]
        if charges:
            with suppress(Unavailable):
                await self._rates.settle(charges)
