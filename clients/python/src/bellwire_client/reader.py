"""What a user does over HTTP."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from bellwire_client.access import Access, segment, user_path
from bellwire_client.events import Counts, Notification, Page
from bellwire_client.preferences import Preferences
from bellwire_client.selection import Ids, selections, zoned

Status: TypeAlias = Literal["unread", "read", "all", "archived", "snoozed"]
View: TypeAlias = Literal["manual", "auto"]


class Reader(Access):
    """The calls of a user."""

    async def notifications(
        self,
        user_id: str,
        *,
        status: Status = "unread",
        category: str | Iterable[str] = (),
        event: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page:
        """A page of a feed, newest first; `cursor` is the `next_cursor` of the previous page. `limit` is 1 to
        100. Raises Problem, Unreachable.
        """
        categories = [category] if isinstance(category, str) else list(category)
        wanted = {"status": status, "category": categories, "event": event, "limit": limit, "cursor": cursor}
        given = {name: value for name, value in wanted.items() if value not in (None, [])}
        return Page.of(await self._as_user("GET", _inbox(user_id), params=given))

    async def counts(self, user_id: str) -> Counts:
        """The counts of a feed. Raises Problem, Unreachable."""
        return Counts.of(await self._as_user("GET", f"{user_path(user_id)}/counts"))

    async def mark_read(
        self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Mark notifications read, by id or all up to a cursor (of a category). Return how many changed
        (perhaps fewer if the call was repeated). Raises Problem, Unreachable.
        """
        return await self._mark(user_id, "read", selections(ids, up_to, category))

    async def mark_seen(
        self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Mark as seen what is unread. As `mark_read`."""
        return await self._mark(user_id, "seen", selections(ids, up_to, category))

    async def mark_unread(
        self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Mark notifications unread. As `mark_read`."""
        return await self._mark(user_id, "unread", selections(ids, up_to, category))

    async def archive(
        self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Move notifications to the archive. As `mark_read`."""
        return await self._mark(user_id, "archive", selections(ids, up_to, category))

    async def unarchive(
        self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None, category: str | None = None
    ) -> int:
        """Move notifications out of the archive. As `mark_read`."""
        return await self._mark(user_id, "unarchive", selections(ids, up_to, category))

    async def snooze(self, user_id: str, ids: Ids, until: datetime) -> int:
        """Take notifications away until a time, when they come back unread. As `mark_read`; ValueError if
        `until` has no time zone.
        """
        chosen = ({**some, "until": zoned("until", until)} for some in selections(ids, None))
        return await self._mark(user_id, "snooze", chosen)

    async def unsnooze(self, user_id: str, ids: Ids) -> int:
        """Bring snoozed notifications back now. As `mark_read`."""
        return await self._mark(user_id, "unsnooze", selections(ids, None))

    async def act(self, user_id: str, notification_id: str, action: str) -> Notification:
        """Choose an action without a URL. Raises Problem, of the kind `already-acted` if another one was
        chosen, and Unreachable.
        """
        path = f"{_inbox(user_id)}/{segment(notification_id)}/actions/{segment(action)}"
        return Notification.of(await self._as_user("POST", path))

    async def preferences(self, user_id: str) -> Preferences:
        """Which categories the user gets. Raises Problem, Unreachable."""
        return Preferences.of(await self._as_either("GET", f"{user_path(user_id)}/preferences"))

    async def set_preferences(self, user_id: str, choices: Mapping[str, bool | None]) -> Preferences:
        """Choose categories; None goes back to the default, and those that are not listed stay. Raises
        Problem, also for a mandatory one that is switched off, and Unreachable.
        """
        body = {"categories": dict(choices)}
        return Preferences.of(await self._as_either("PUT", f"{user_path(user_id)}/preferences", json=body))

    async def stream_ticket(self) -> str:
        """A ticket that opens one stream within 30 s, to give to a browser. Raises Problem, Unreachable."""
        answer = await self._as_user("POST", "/v1/stream-tickets")
        return str(answer["ticket"])

    async def _mark(self, user_id: str, path: str, chosen: Iterable[Mapping[str, Any]]) -> int:
        changed = 0
        for selection in chosen:
            answer = await self._as_user("POST", f"{_inbox(user_id)}/{path}", json=selection)
            changed += answer["changed"]
        return changed


def _inbox(user_id: str) -> str:
    return f"{user_path(user_id)}/notifications"
