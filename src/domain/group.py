"""Groups: several notifications that collapsed into one."""

from dataclasses import dataclass

from domain.rich import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a notification stands for."""

    count: int = 1
    """How many notifications, itself included."""
    actors: tuple[Actor, ...] = ()
    """The latest actors, the newest first."""
    actor_count: int = 0
    """How many different actors."""
    members: tuple[int, ...] = ()
    """Hashes of the actors that were counted."""


ALONE = Group()
