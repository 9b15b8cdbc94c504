"""Whether a client received everything: each version of its feed once, in order, without gaps."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class Told:
    """What one client received of its feed, after the version at which it began.

    If something comes twice, the first is kept: that is allowed and only counted. Every other irregularity is
    an error.
    """

    user: bytes
    start: int = 0
    ids: dict[int, bytes] = field(default_factory=dict)
    """The ids of the notifications, by version."""
    repeated: int = 0
    disordered: int = 0
    """Versions that came after a higher one."""
    contradicted: int = 0
    """Versions that came again as another notification."""
    foreign: int = 0
    """Notifications of another user."""

    def __post_init__(self) -> None:
        self.highest = self.start

    def take(self, items: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Take the items of a frame, as id, user and version."""
        for item, user, number in items:
            version = int(number)
            known = self.ids.get(version)
            if user != self.user:
                self.foreign += 1
            elif known is None:
                self.disordered += version < self.highest
                self.ids[version] = item
                self.highest = max(self.highest, version)
            elif known == item:
                self.repeated += 1
            else:
                self.contradicted += 1

    def judged(self, end: int) -> "Judgement":
        """Compare it with the feed's final version."""
        wanted = end - self.start
        delivered = sum(self.start < version <= end for version in self.ids)
        return Judgement(
            clients=1,
            expected=wanted,
            delivered=delivered,
            lost=wanted - delivered,
            invented=len(self.ids) - delivered,
            repeated=self.repeated,
            disordered=self.disordered,
            contradicted=self.contradicted + len(self.ids) - len(set(self.ids.values())),
            foreign=self.foreign,
        )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How much how many clients received, and what was wrong with it."""

    clients: int = 0
    expected: int = 0
    delivered: int = 0
    lost: int = 0
    invented: int = 0
    """Versions that the feed does not have."""
    repeated: int = 0
    disordered: int = 0
    contradicted: int = 0
    """Also notifications that came under two versions."""
    foreign: int = 0

    def __add__(self, other: Self) -> Self:
        mine, theirs = asdict(self), asdict(other)
        return type(self)(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def errors(self) -> int:
        """The number of errors; repetitions are none."""
        return self.lost + self.invented + self.disordered + self.contradicted + self.foreign

    @property
    def percent(self) -> float:
        """The share of the expected notifications that was delivered."""
        return 100 * self.delivered / self.expected if self.expected else 100.0

    @property
    def note(self) -> str:
        """As text for people."""
        wrong = {
            name: count
            for name in ("lost", "invented", "disordered", "contradicted", "foreign")
            if (count := getattr(self, name))
        }
        words = [f"{count:,} {name}" for name, count in wrong.items()]
        return ", ".join([f"{self.delivered:,} of {self.expected:,}", f"{self.repeated:,} twice", *words])

    def details(self) -> dict[str, Any]:
        """As data for programs."""
        return asdict(self)


def busiest_share(times: Iterable[float], width: float = 1.0) -> float:
    """The largest share of the events within any stretch of `width` seconds."""
    ordered = sorted(times)
    first, most = 0, 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= width:
            first += 1
        most = max(most, last - first + 1)
    return most / len(ordered) if ordered else 0.0
