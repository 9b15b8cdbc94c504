"""The trivial server of this folder's parent: what it takes to be measured at all."""

from dataclasses import dataclass

from bench.peers.bellwire import Bellwire


@dataclass(frozen=True)
class Trivial(Bellwire):
    """It is addressed as Bellwire is, and knows no users."""

    def create(self, user: str) -> bytes | None:
        return None
