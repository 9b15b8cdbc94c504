"""Groups: several notifications that became one."""

from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import blake2b
from typing import Final

from domain.rich import Actor

ACTORS_SHOWN: Final = 3
ACTORS_COUNTED: Final = 100
OPEN_FOR = timedelta(days=30)
"""How long others may join a group after its newest notification was created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a notification stands for."""

    count: int = 1
    """How many notifications, itself included."""
    actors: tuple[Actor, ...] = ()
    """The latest actors, the newest first, each once."""
    members: tuple[int, ...] = ()
    """Hashes of the actors that were counted."""

    @classmethod
    def of(cls, actor: Actor | None) -> "Group":
        """The group of one notification."""
        return ALONE if actor is None else cls(actors=(actor,), members=(_hash(actor),))

    @property
    def actor_count(self) -> int:
        """How many different actors, counted up to ACTORS_COUNTED."""
        return min(len(self.members), ACTORS_COUNTED)

    @property
    def more_actors(self) -> bool:
        """Whether there are more actors than were counted."""
        return len(self.members) > ACTORS_COUNTED

    def joined(self, actor: Actor | None, *, newest: bool) -> "Group":
        """The group with one more notification, which is its newest or an older one that came late."""
        more = replace(self, count=self.count + 1)
        if actor is None:
            return more
        member = _hash(actor)
        others = tuple(other for other in self.actors if _hash(other) != member)
        if newest:
            shown = (actor, *others)
        else:
            shown = self.actors if len(others) < len(self.actors) else (*self.actors, actor)
        members = self.members
        if member not in members and len(members) <= ACTORS_COUNTED:
            members = (*members, member)
        return replace(more, actors=shown[:ACTORS_SHOWN], members=members)


ALONE = Group()


def _hash(actor: Actor) -> int:
    """Identifies an actor by its id, or by its name if it has none."""
    identity = f"i{actor.id}" if actor.id else f"n{actor.name}"
    return int.from_bytes(blake2b(identity.encode(), digest_size=8).digest())
