"""The commands of a stream."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime

from bellwire_client.events import Json
from bellwire_client.selection import Ids, selections, zoned


class Marks(ABC):
    """Marks notifications on a connection. Each command waits for the connection if there is none.

    Each returns how many notifications changed. Each raises NotConnected if no connection is made in time,
    CommandRefused, and OutcomeUnknown when the connection broke before the answer: repeating it does no harm.
    Of more than 100 ids, those before the failure are marked. `category` narrows `up_to`.
    """

    @abstractmethod
    async def send(self, kind: str, arguments: Iterable[Json]) -> int:
        """Send a command with each of these arguments; return how many notifications changed."""

    async def mark_read(
        self, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Mark notifications read, by id or all up to a cursor."""
        return await self.send("read", selections(ids, up_to, category))

    async def mark_seen(
        self, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Mark as seen what is unread."""
        return await self.send("seen", selections(ids, up_to, category))

    async def mark_unread(
        self, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Mark notifications unread."""
        return await self.send("unread", selections(ids, up_to, category))

    async def archive(
        self, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Move notifications to the archive."""
        return await self.send("archive", selections(ids, up_to, category))

    async def unarchive(
        self, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Move notifications out of the archive."""
        return await self.send("unarchive", selections(ids, up_to, category))

    async def act(self, notification_id: str, action: str) -> int:
        """Choose an action without a URL. Returns 0 if it was chosen before; another one is refused."""
        return await self.send("act", [{"id": notification_id, "action": action}])

    async def snooze(self, ids: Ids, until: datetime) -> int:
        """Take notifications away until a time, which has a zone; then they come back unread."""
        chosen = ({**some, "until": zoned("until", until)} for some in selections(ids, None))
        return await self.send("snooze", chosen)

    async def unsnooze(self, ids: Ids) -> int:
        """Bring snoozed notifications back now."""
        return await self.send("unsnooze", selections(ids, None))
