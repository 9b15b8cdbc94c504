"""Argon2Passwords."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from adapters.security.turns import Turns

# The profile that OWASP recommends first: 19 MiB, 2 passes, 1 lane (Password Storage Cheat Sheet). About
# 30 ms of a core.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_AT_ONCE = 2
# About 2 s of work in all, and 1 s of one party.
_MOST_WAITING = 128
_MOST_WAITING_OF_ONE = 64


class Argon2Passwords:
    """argon2id in threads, a few at a time: each takes 19 MiB and a core. A bounded number may wait."""

    def __init__(self) -> None:
        self._turns = Turns(_AT_ONCE, most=_MOST_WAITING, most_of_one=_MOST_WAITING_OF_ONE)
        self._nobody: str | None = None

    async def hash(self, password: str, party: str = "") -> str:
        async with self._turns.of(party):
            return await asyncio.to_thread(_HASHER.hash, password)

    async def verify(
        self, password: str, password_hash: str | None, party: str = "", *, first: bool = False
    ) -> bool:
        if self._nobody is None:
            self._nobody = await self.hash("the password of nobody", party)
        async with self._turns.of(party, first=first):
            right = await asyncio.to_thread(_matches, password_hash or self._nobody, password)
        return right and password_hash is not None


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
