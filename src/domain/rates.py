"""Rates: how often something may happen, and delays that grow."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

RATE_RULE: Final = "must be a count and a time, such as 100/s, 10/m, 5000/h or 300/10s; 0 or off for no limit"

_RATE = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})?([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# Of the clocks and of floating-point numbers, in seconds: so little too early is in time.
_TOLERANCE = 1e-6
_MOST_DOUBLINGS = 32


@dataclass(frozen=True)
class Rate:
    """`count` in `seconds`. As many may come at once; then one comes back every `seconds / count`.

    The generic cell rate algorithm: all that is kept of a party is when it was last due, that is, when
    everything that it took is paid off. Times are in seconds of any clock.
    """

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate | None":
        """Read `100/s`, `10/m`, `300/10s`; None for `0` and `off`. Raises ValueError."""
        if text in {"0", "off"}:
            return None
        if (found := _RATE.fullmatch(text)) is None:
            raise ValueError(RATE_RULE)
        count, times, unit = found.groups()
        return cls(int(count), int(times or 1) * _UNITS[unit])

    @cached_property
    def interval(self) -> float:
        """The seconds in which one comes back."""
        return self.seconds / self.count

    def wait(self, due: float, now: float, cost: int = 1) -> float:
        """How long until so many may be taken; 0.0 if they may now.

        What costs more than `count` may be taken when everything is there, and is paid off afterwards.
        """
        wait = max(due, now) + min(cost, self.count) * self.interval - self.seconds - now
        return wait if wait > _TOLERANCE else 0.0

    def after(self, due: float, now: float, cost: int = 1) -> float:
        """When a party is due that takes so many now."""
        return (due if due > now else now) + cost * self.interval  # noqa: FURB136 - max() costs more

    def left(self, due: float, now: float) -> int:
        """How many may be taken now."""
        behind = due - now if due > now else 0.0
        left = int((self.seconds - behind + _TOLERANCE) / self.interval)
        return left if left > 0 else 0  # noqa: FURB136


@dataclass(frozen=True, slots=True)
class Patience:
    """Delays after failures in a row: none after the first ones, then 1 s, which doubles with each."""

    free: int
    """How many failures cause no delay; 0 for no delays at all."""

    def delay(self, failures: int, most: float) -> float:
        """The seconds to wait after so many failures, up to `most`."""
        beyond = failures - self.free
        return 0.0 if beyond < 0 or not self.free else min(2.0 ** min(beyond, _MOST_DOUBLINGS), most)
