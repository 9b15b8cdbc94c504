"""Erasing users: everything that is kept of them, for good."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from application.audit import THE_SERVICE, Action, By, Entry, audited
from application.erasures import Erasure
from application.ports import Erasures, UnreadIndex
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

ERASE_BATCH = 1_000
_TOGETHER = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseUser:
    """Begin to erase a user. When this returns, the user and its feed are gone: nobody logs in, tokens are
    invalid, and records for the user are dropped. `ContinueErasures` does the rest.

    Repeating it returns the same erasure. With `forget` the id can be used again later. Raises UnknownUser.
    """

    erasures: Erasures

    async def __call__(self, user: UserId, by: By = THE_SERVICE, *, forget: bool = False) -> Erasure:
        entry = Entry(by, Action.USER_ERASED, user, {"forget": forget})

        async def begin(entry: Entry) -> Erasure:
            return await self.erasures.begin(user, entry, reusable=forget)

        return await audited(entry, begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindErasure:
    """How far an erasure is. Raises UnknownErasure."""

    erasures: Erasures

    async def __call__(self, erasure: UUID) -> Erasure:
        return await self.erasures.get(erasure)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueErasures:
    """Delete what is left of erased users. Every step may be repeated, so it can stop at any moment and be
    continued, by this process or another.
    """

    erasures: Erasures
    index: UnreadIndex
    kafka_keeps: Callable[[], Awaitable[timedelta | None]]
    """How long Kafka keeps records at most; None if it does not say. Raises Unavailable."""

    async def __call__(self) -> int:
        """Continue the oldest ones. Returns how many were finished. Raises Unavailable."""
        return sum([await self._continue(erasure) for erasure in await self.erasures.unfinished(_TOGETHER)])

    async def _continue(self, erasure: Erasure) -> bool:
        if erasure.user_id is None:
            return False
        last = None
        while (last := await self.erasures.delete_some(erasure.id, last, ERASE_BATCH)) is not None:
            logger.debug("erasure %s has deleted up to %s", erasure.id, last)
        await self.index.erase(erasure.user_id)
        if not erasure.settled:
            return False
        entry = Entry(THE_SERVICE, Action.ERASURE_FINISHED, erasure.user_id, {"erasure": str(erasure.id)})
        return await self.erasures.finish(erasure.id, await self.kafka_keeps(), entry)
