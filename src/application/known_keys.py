"""The producers' keys in the memory of a process."""

import logging
import re
from asyncio import Task, create_task, shield, sleep
from datetime import datetime, timedelta
from math import inf

from application.credentials import ApiKey
from application.errors import ApplicationError, Unavailable
from application.ports import ApiKeys, Monotonic

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 2.0
# As for revocations of tokens: a change is visible from its commit on, with the time at which it was made.
_OVERLAP = timedelta(seconds=60)
_TRUSTED_SECONDS = 60.0
_USE_WRITTEN_EVERY_SECONDS = 60.0
_LOOKUPS_PER_SECOND = 10
_KEY_ID = re.compile(r"[0-9A-Za-z]{1,64}")


class KnownKeys:
    """The keys that a process knows, so that admitting a producer waits for no store.

    They are refreshed every 2 s by default. While the store is out of reach they are trusted for 60 s. A key
    that is not known, because it is new, is looked up once for all who wait for it; ids that nobody has cost
    at most 10 lookups a second.
    """

    def __init__(self, keys: ApiKeys, now: Monotonic, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._keys = keys
        self._now = now
        self._every_seconds = every_seconds
        self._known: dict[str, tuple[float, ApiKey]] = {}
        """Keys, and when each was looked up."""
        self._absent: set[str] = set()
        """Ids that were looked up since the last refresh, and that nobody has."""
        self._as_of: datetime | None = None
        self._refreshed_at = -inf
        self._unreachable = False
        self._looking: dict[str, Task[ApiKey | None]] = {}
        """Lookups that are under way."""
        self._lookups = float(_LOOKUPS_PER_SECOND)
        """How many are left."""
        self._counted_at = now()
        self._uses: dict[str, datetime] = {}
        """The last use of each key, if it is not stored."""
        self._written_at: dict[str, float] = {}

    async def find(self, key_id: str) -> ApiKey | None:
        """The key with this id. Raises Unavailable if the store is needed and out of reach."""
        known = self._known.get(key_id)
        if known is not None and self._now() - max(known[0], self._refreshed_at) <= _TRUSTED_SECONDS:
            return known[1]
        if key_id in self._absent or _KEY_ID.fullmatch(key_id) is None:
            return None
        looking = self._looking.get(key_id)
        if looking is not None or self._may_look_up():
            # Shielded: others wait for it too.
            return await shield(looking or self._begin_to_look_up(key_id))
        if known is None and self._is_complete():
            return None
        raise Unavailable

    def note_use(self, key_id: str, at: datetime) -> None:
        """Remember that a key was used, until that is stored."""
        self._uses[key_id] = at

    async def run(self) -> None:
        """Refresh, and store the uses, periodically, forever."""
        while True:
            await sleep(self._every_seconds)
            await self.refresh()
            await self.store_uses()

    async def refresh(self) -> None:
        """Read from the store what changed. If it is out of reach, nothing changes."""
        self._absent.clear()
        began = self._now()
        try:
            latest = await self._keys.changed(self._as_of and self._as_of - _OVERLAP)
        except Unavailable as error:
            if not self._unreachable:
                logger.warning("API keys cannot be read: %s", error)
            self._unreachable = True
            return
        if self._unreachable:
            logger.info("API keys are read again")
        self._unreachable = False
        self._as_of, self._refreshed_at = latest.as_of, began
        self._known |= {key.id: (began, key) for key in latest.keys}

    async def store_uses(self) -> None:
        """Store when keys were last used, each at most once a minute. What cannot be stored waits."""
        now = self._now()
        due = {
            key: at for key, at in self._uses.items() if now - self._stored(key) >= _USE_WRITTEN_EVERY_SECONDS
        }
        if not due:
            return
        try:
            await self._keys.note_uses(due)
        except ApplicationError:  # the store may be read-only
            return
        for key, at in due.items():
            self._written_at[key] = now
            if self._uses[key] == at:
                del self._uses[key]

    def _stored(self, key_id: str) -> float:
        return self._written_at.get(key_id, -inf)

    def _begin_to_look_up(self, key_id: str) -> "Task[ApiKey | None]":
        def ended(task: "Task[ApiKey | None]") -> None:
            del self._looking[key_id]
            if not task.cancelled():
                task.exception()  # whoever waits raises it; perhaps nobody waits any more

        looking = self._looking[key_id] = create_task(self._look_up(key_id))
        looking.add_done_callback(ended)
        return looking

    async def _look_up(self, key_id: str) -> ApiKey | None:
        at = self._now()
        key = await self._keys.get(key_id)
        if key is None:
            self._known.pop(key_id, None)
            self._absent.add(key_id)
        else:
            self._known[key_id] = at, key
        return key

    def _may_look_up(self) -> bool:
        """Take one of the lookups, if there is one left."""
        now = self._now()
        gained = (now - self._counted_at) * _LOOKUPS_PER_SECOND
        self._lookups, self._counted_at = min(self._lookups + gained, _LOOKUPS_PER_SECOND), now
        if self._lookups < 1:
            return False
        self._lookups -= 1
        return True

    def _is_complete(self) -> bool:
        """Whether a key that is not known is either new or nobody's."""
        return self._refreshed_at > -inf and not self._unreachable
