"""What a process is handed of its machine: time, ids, chance and the JSON of a notification."""

from collections.abc import Callable
from datetime import datetime
from random import Random  # noqa: TID251 - as a type
from typing import TypeAlias

from domain.identifiers import NotificationId, UserId

Clock: TypeAlias = Callable[[], datetime]
"""The time, in UTC. It may be set back."""
Monotonic: TypeAlias = Callable[[], float]
"""Seconds that never go back. Only differences mean something."""
Chance: TypeAlias = Random
"""Random numbers of every kind."""
Jitter: TypeAlias = Callable[[float, float], float]
"""A random number between two bounds."""
NewToken: TypeAlias = Callable[[int], str]
"""A text made of so many random bytes, fit to be a secret."""
NewId: TypeAlias = Callable[[], NotificationId]
UserHash: TypeAlias = Callable[[UserId], bytes]
"""A keyed hash of a user id: the same id always has the same one, and without the key nobody can tell whose
it is."""
