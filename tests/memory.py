"""The ports in memory: what a unit test runs on, and the shortest statement of what the real ones do.

Every one of them can be `away`. tests/contracts.py holds them to the same promises as the real adapters.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from json import loads
from typing import Any
from uuid import UUID

from adapters.websocket.hub import Hub
from application.audit import Entry, Recorded, Search
from application.credentials import (
    ApiKey,
    Claims,
    LatestKeys,
    LatestRevocations,
    LatestRevokedTokens,
    Revocation,
    RevokedToken,
)
from application.directory import Put, UserPage, UserSearch
from application.erasures import Erasure
from application.errors import (
    KeyReused,
    NotAllowed,
    NotAuthenticated,
    Refused,
    Unavailable,
    Unconfirmed,
    UnknownDeadLetter,
    UnknownErasure,
)
from application.exports import ExportPage
from application.feeds import (
    Appended,
    Dropped,
    FeedHistory,
    FeedPage,
    MarkRequest,
    Pruned,
    Retracted,
    Rung,
    Spot,
    Standing,
)
from application.letters import DeadLetter, Position, Progress
from application.pages import IndexEntry, Missing, Rendered, RenderedPage, rendered
from application.ports import Clock, LiveFeed, Monotonic, Stage, Use
from application.streams import Frame
from common import wire
from domain.alarm import AlarmKind
from domain.arrivals import Arrival, Known, Withheld, arrive
from domain.category import OTHER, Category, check_total, newcomers
from domain.errors import FieldError, Invalid, UnknownNotification, UnknownUser, UserTaken
from domain.feed import MARK_LIMIT, Chosen, Cursor, Feed, FeedChange, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import BEFORE_ALL, Draft, Notification, Retraction
from domain.states import RULES, SNOOZED, VISIBLE, Mark, Status
from domain.user import User
from tests.build import NOW


class Reachable:
    """Something that can be out of reach."""

    away = False

    def reach(self) -> None:
        if self.away:
            raise Unavailable


class MemoryUsers(Reachable):
    def __init__(self, clock: Clock = lambda: NOW) -> None:
        self._clock = clock
        self.held: dict[UserId, tuple[User, str | None]] = {}
        self._revoked: dict[UserId, datetime] = {}
        self.erased: set[UserId] = set()
        self.audited: list[Entry] = []

    async def add(self, user: User, password_hash: str | None, entry: Entry | None = None) -> None:
        self.reach()
        emails = {known.email for known, _ in self.held.values()} - {None}
        if user.id in self.held or user.id in self.erased or user.email in emails:
            raise UserTaken
        self._note(entry)
        self.held[user.id] = user, password_hash
        if user.disabled_at is not None:
            self._revoked[user.id] = self._clock()

    async def get(self, user: UserId) -> User:
        self.reach()
        if user not in self.held:
            raise UnknownUser
        return self.held[user][0]

    async def known(self, users: Sequence[UserId]) -> frozenset[UserId]:
        self.reach()
        return frozenset(users) & self.held.keys()

    async def credentials(self, emails: Sequence[str]) -> tuple[User, str, datetime | None] | None:
        self.reach()
        for email in emails:
            for user, password_hash in self.held.values():
                if user.email == email and password_hash is not None:
                    return user, password_hash, self._revoked.get(user.id)
        return None

    async def password(self, user: UserId) -> tuple[User, str | None]:
        await self.get(user)
        return self.held[user]

    async def set_password(
        self, user: UserId, held: str | None, new_hash: str, entry: Entry | None = None
    ) -> datetime | None:
        known, now = await self.password(user)
        if held not in {None, now}:
            return None
        self.held[user] = known, new_hash
        await self.revoke_tokens(user, entry)
        return self._revoked[user]

    async def renew(self, user: User, password_hash: str, email: str, new_hash: str) -> None:
        self.reach()
        if any(known.email == email and known.id != user.id for known, _ in self.held.values()):
            raise UserTaken
        now, held = self.held[user.id]
        if (now.email, held) == (user.email, password_hash):
            self.held[user.id] = replace(now, email=email), new_hash

    async def has_address(self, email: str, besides: UserId | None = None) -> bool:
        self.reach()
        return any(known.email == email and known.id != besides for known, _ in self.held.values())

    async def disable(self, user: UserId, entry: Entry | None = None) -> None:
        known = await self.get(user)
        await self.revoke_tokens(user, entry)
        self._set(replace(known, disabled_at=known.disabled_at or self._clock()))

    async def enable(self, user: UserId, entry: Entry | None = None) -> None:
        known = await self.get(user)
        self._note(entry)
        if known.disabled_at is not None:
            await self.revoke_tokens(user)
            self._set(replace(known, disabled_at=None))

    async def revoke_tokens(self, user: UserId, entry: Entry | None = None) -> None:
        await self.get(user)
        self._note(entry)
        self._revoked[user] = self._clock()

    async def revocations(self, since: datetime | None) -> LatestRevocations:
        self.reach()
        found = [
            Revocation(user, at, disabled=user in self.held and self.held[user][0].disabled_at is not None)
            for user, at in self._revoked.items()
            if since is None or at >= since
        ]
        return LatestRevocations(self._clock(), found)

    def erase(self, user: UserId) -> None:
        self._revoked[user] = self._clock()
        self.erased.add(user)
        del self.held[user]

    def _note(self, entry: Entry | None) -> None:
        if entry is not None:
            self.audited.append(entry)

    def _set(self, user: User) -> None:
        self.held[user.id] = user, self.held[user.id][1]

    # --- the directory ---

    async def create(self, users: Collection[UserId], at: datetime) -> frozenset[UserId]:
        self.reach()
        missing = [user for user in users if user not in self.held and user not in self.erased]
        for user in missing:
            self.held[user] = User(id=user, name=user, email=None, created_at=at), None
        return frozenset(missing)

    async def put(self, user: User, *, keeps_email: bool, created: Entry, changed: Entry) -> Put:
        self.reach()
        if user.id not in self.held:
            await self.add(user, None, created)
            return Put(user, created)
        held, password_hash = self.held[user.id]
        new = replace(held, name=user.name, email=held.email if keeps_email else user.email)
        if new == held:
            return Put(held, None)
        if new.email is None and password_hash is not None:
            raise Invalid([FieldError("email", "is required to log in with a password")])
        if new.email is not None and await self.has_address(new.email, besides=user.id):
            raise UserTaken
        self._set(new)
        self._note(changed)
        return Put(new, changed)

    async def page(self, search: UserSearch, limit: int, after: UserId | None = None) -> UserPage:
        self.reach()
        found = [
            user
            for user_id, (user, _) in sorted(self.held.items())
            if user_id.startswith(search.prefix)
            and user_id > (after or "")
            and (search.emails is None or user.email in search.emails)
            and search.name.lower() in user.name.lower()
        ]
        return UserPage(found[:limit], found[limit - 1].id if len(found) > limit else None)


class MemoryFeeds(Reachable):
    def __init__(self, users: MemoryUsers) -> None:
        self._users = users
        self._feeds: dict[UserId, Feed] = {}
        self._held: dict[UserId, dict[NotificationId, Notification]] = {}
        self._horizons: dict[UserId, int] = {}
        self._senders: dict[NotificationId, str | None] = {}
        self.withheld: list[Withheld] = []
        self._choices: dict[UserId, dict[str, bool]] = {}
        self.categories = MemoryCategories()
        self.refused: set[NotificationId] = set()
        self.locked: set[UserId] = set()
        """Users whose feed another transaction is changing."""
        self.alarms: dict[tuple[UserId, NotificationId, AlarmKind], datetime] = {}

    async def append(self, arrivals: Sequence[Arrival], now: datetime = BEFORE_ALL) -> Appended:
        self.reach()
        if any(arrival.id in self.refused for arrival in arrivals):
            raise Refused("22000")
        by_user: dict[UserId, list[Arrival]] = {}
        for arrival in arrivals:
            by_user.setdefault(arrival.user_id, []).append(arrival)
        return Appended.together(self._append(user, mine, now) for user, mine in by_user.items())

    def _append(self, user: UserId, arrivals: Sequence[Arrival], now: datetime) -> Appended:
        if user in self._users.erased:
            return Appended(erased=tuple(arrivals))
        if user not in self._users.held:
            return Appended(unknown=tuple(arrivals))
        feed = self._feed(user)
        withheld = {one.id: one for one in self.withheld if one.user_id == user}
        known = Known(
            feed, self._held[user], self._senders, withheld, self._choices.get(user, {}), self.categories.held
        )
        outcome = arrive(known, arrivals, now)
        self._senders |= outcome.senders
        settled = {one.id for one in outcome.withheld} | set(outcome.returned)
        self.withheld = [one for one in self.withheld if (one.user_id, one.id in settled) != (user, True)]
        self.withheld += outcome.withheld
        changes = [one for one in (outcome.retracted, outcome.edited) if one is not None]
        for change in [*changes, *([outcome.added] if outcome.added else [])]:
            self._held[user] |= {item.id: item for item in change.notifications or ()}
        self._feeds[user] = outcome.feed
        return Appended(
            added=(outcome.added,) if outcome.added else (),
            changed=tuple(changes),
            present=(Settled(feed),) if outcome.repeated else (),
            withheld=tuple(outcome.withheld),
            foreign=tuple(outcome.foreign),
        )

    async def retract(
        self, user: UserId, notification: NotificationId, at: datetime, key_id: str | None = None
    ) -> Retracted:
        self._feed(user)
        order = Retraction(user, notification, key_id, own_only=key_id is not None)
        appended = await self.append([order], at)
        if appended.foreign:
            raise NotAllowed("Another API key sent this notification.")
        held = self._held[user].get(notification)
        if held is None:
            return Retracted()
        unchanged = Marked(self._feed(user), self._feed(user).version, Mark.RETRACTED, at, ())
        return Retracted(next((one for one in appended.changed if isinstance(one, Marked)), unchanged))

    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        return self._mark_ids(mark, MarkRequest(user, ids, at, action))

    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        self.reach()
        free = [one for one in requests if one.user_id in self._users.held and one.user_id not in self.locked]
        return {request.user_id: self._mark_ids(mark, request) for request in free}

    async def mark_up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> Marked:
        same_life = self._feed(user).epoch == cursor.epoch

        def chosen(item: Notification) -> bool:
            return same_life and item.version <= cursor.version and category in {None, item.category}

        marked = self._mark(user, mark, at, chosen)
        listed = marked.notifications if marked.changed <= MARK_LIMIT else None
        return replace(marked, notifications=listed, up_to=cursor.version, category=category)

    async def choices(self, user: UserId) -> tuple[Feed, Mapping[str, bool]]:
        self.reach()
        return self._feed(user), self._choices.get(user, {})

    async def choose(self, user: UserId, choices: Mapping[str, bool | None]) -> Chosen:
        feed, before = await self.choices(user)
        together = {**before, **choices}
        after = {name: chosen for name, chosen in together.items() if chosen is not None}
        check_total(len(after))
        if after != before:
            version = feed.version + 1
            self._choices[user] = after
            self._feeds[user] = replace(feed, version=version, preferences_version=version)
        return Chosen(self._feeds[user], feed.version, choices)

    async def feed(self, user: UserId) -> Feed:
        self.reach()
        return self._feed(user)

    async def get(self, user: UserId, notification: NotificationId) -> Notification:
        self.reach()
        found = self._held.get(user, {}).get(notification)
        if found is None or not VISIBLE.holds(found):
            raise UnknownNotification
        return found

    async def page(
        self,
        user: UserId,
        status: Status,
        *,
        limit: int,
        before: NotificationId | None = None,
        event: str | None = None,
        categories: Sequence[str] = (),
    ) -> FeedPage:
        self.reach()
        feed = self._feed(user)
        listed = [
            item
            for item in reversed(self._in_order(user))
            if item.within(status)
            and (before is None or item.id < before)
            and (event is None or item.event == event)
            and (not categories or item.category in categories)
        ]
        return FeedPage(feed, tuple(listed[:limit]), more=len(listed) > limit)

    async def rendered_page(self, user: UserId, status: Status, **wanted: Any) -> RenderedPage:
        page = await self.page(user, status, **wanted)
        return rendered(page.feed, page.notifications, wire.render, more=page.more)

    async def history(self, user: UserId, after: int, limit: int) -> FeedHistory:
        feed = self._feed(user)
        items = sorted(self._held[user].values(), key=lambda item: item.version)
        changed = [item for item in items if item.version > after]
        more, horizon = len(changed) > limit, self._horizons.get(user, 0)
        return FeedHistory(feed, tuple(changed[:limit]), more, horizon)

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        self.reach()
        known = [user for user in users if user in self._users.held]
        return {user: Standing(self._feed(user), self._horizons.get(user, 0)) for user in known}

    async def histories(
        self, wanted: Sequence[tuple[UserId, int]], limit: int
    ) -> Sequence[FeedHistory | None]:
        self.reach()
        known = self._users.held
        return [await self.history(user, after, limit) if user in known else None for user, after in wanted]

    async def prune(self, before: datetime, after: Spot | None, limit: int) -> Pruned:
        self.reach()
        end = UUID(int=int(before.timestamp() * 1000) << 80)
        spots = sorted(Spot(user, item) for user, held in self._held.items() for item in held if item < end)
        due = [spot for spot in spots if after is None or spot > after][:limit]
        feeds = [self._forget(user, [spot.id for spot in due if spot.user_id == user]) for user, _ in due]
        return Pruned(list(dict.fromkeys(feeds)), len(due), due[-1] if due else None)

    async def forget_withheld(self, before: datetime, limit: int) -> int:
        """Nothing: it is not known since when they are withheld."""
        self.reach()
        return 0

    async def forget_audit(self, before: datetime, limit: int) -> int:
        """Nothing: the trail is elsewhere."""
        self.reach()
        return 0

    def begin_erasure(self, user: UserId) -> None:
        """The feed goes first."""
        self._users.erase(user)
        self._feeds.pop(user, None)
        self._choices.pop(user, None)
        self._silence(user, self._held.get(user, {}))

    def erase_some(self, user: UserId, limit: int) -> list[NotificationId]:
        held = self._held.get(user, {})
        gone = sorted(held)[:limit]
        for item in gone:
            del held[item]
        return gone

    def holds(self, user: UserId) -> bool:
        return bool(self._held.get(user))

    def everything(self, user: UserId) -> list[Notification]:
        return self._in_order(user)

    async def drop(self, before: datetime) -> Dropped:
        """There is nothing to drop: it keeps no months apart."""
        self.reach()
        return Dropped((), ())

    def _forget(self, user: UserId, ids: Sequence[NotificationId]) -> Feed:
        held, feed = self._held[user], self._feeds[user]
        gone = [held.pop(item) for item in ids if item in held]
        self._silence(user, ids)
        if gone:
            feed = self._feeds[user] = feed.changed(feed.version + 1, [(item, None) for item in gone])
            self._horizons[user] = feed.version
        return feed

    def _silence(self, user: UserId, ids: Iterable[NotificationId]) -> None:
        for one in ids:
            self.alarms.pop((user, one, AlarmKind.WAKE), None)

    async def due(self, mark: Mark, at: datetime, limit: int) -> Sequence[tuple[UserId, NotificationId]]:
        self.reach()
        rule = RULES[mark]
        waiting = [
            (getattr(item, rule.due or ""), user, item.id)
            for user, held in self._held.items()
            for item in held.values()
            if rule.waiting.holds(item)
        ]
        due = [spot for spot in waiting if spot[0] <= at]
        return [(user, notification) for _, user, notification in sorted(due)[:limit]]

    def _feed(self, user: UserId) -> Feed:
        if user not in self._users.held:
            raise UnknownUser
        self._held.setdefault(user, {})
        return self._feeds.setdefault(user, Feed(user, f"e{len(self._feeds) + 1}", 0, 0))

    def _in_order(self, user: UserId) -> list[Notification]:
        return sorted(self._held[user].values(), key=lambda item: item.id)

    def _mark_ids(self, mark: Mark, request: MarkRequest) -> Marked:
        return self._mark(
            request.user_id, mark, request.at, lambda item: item.id in request.ids, request.action
        )

    def _mark(
        self,
        user: UserId,
        mark: Mark,
        at: datetime,
        chosen: Callable[[Notification], bool],
        action: str | None = None,
    ) -> Marked:
        self.reach()
        feed = self._feed(user)
        changed: list[Notification] = []
        for item in self._in_order(user):
            after = item.marked(mark, at, feed.version + len(changed) + 1, action)
            if chosen(item) and after is not item:
                changed.append(after)
        self._keep(feed, changed)
        if RULES[mark].may_snooze:
            self.alarms |= {
                (user, item.id, AlarmKind.WAKE): item.snoozed_until
                for item in changed
                if SNOOZED.holds(item) and item.snoozed_until
            }
        return Marked(self._feeds[user], feed.version, mark, at, tuple(changed), action=action)

    def _keep(self, feed: Feed, changed: Sequence[Notification]) -> None:
        held = self._held[feed.user_id]
        held |= {item.id: item for item in changed}
        unread = [item for item in held.values() if item.unread]
        self._feeds[feed.user_id] = replace(
            feed,
            version=feed.version + len(changed),
            unread_count=len(unread),
            unseen_count=sum(item.unseen for item in unread),
            unread_in=dict(sorted(Counter(item.category for item in unread).items())),
        )


class MemoryAlarms(Reachable):
    def __init__(self, feeds: MemoryFeeds, clock: Clock) -> None:
        """`clock` is the store's."""
        self._feeds = feeds
        self._clock = clock

    async def ring(self, kind: AlarmKind, limit: int) -> Rung:
        self.reach()
        now = self._clock()
        alarms = self._feeds.alarms
        due = sorted((at, user, one) for (user, one, of), at in alarms.items() if at <= now and of == kind)
        taken = [spot for spot in due if spot[1] not in self._feeds.locked][:limit]
        by_user: dict[UserId, list[NotificationId]] = {}
        for _, user, one in taken:
            del alarms[user, one, kind]
            by_user.setdefault(user, []).append(one)
        woken = [await self._feeds.mark(user, Mark.WOKEN, ids, now) for user, ids in by_user.items()]
        late = now - due[0][0] if due else timedelta()
        return Rung(late, len(taken), [marked for marked in woken if marked.changed])


class MemoryCategories(Reachable):
    def __init__(self) -> None:
        self.held: dict[str, Category] = {}
        self.audited: list[Entry] = []

    async def enter(self, names: Collection[str]) -> Mapping[str, str]:
        self.reach()
        self.held |= {name: Category(id=name) for name in newcomers(names, self.held)}
        return {name: name if name in self.held else OTHER for name in names}

    async def all(self) -> Sequence[Category]:
        self.reach()
        return [self.held[name] for name in sorted(self.held)]

    async def set(self, category: Category, entry: Entry | None = None) -> bool:
        self.reach()
        if category.id not in {*self.held, *newcomers([category.id], self.held)}:
            return False
        self.held[category.id] = category
        self.audited += [] if entry is None else [entry]
        return True


class MemoryErasures(Reachable):
    """Erasures of users in memory. Everything is settled unless `settling` is set."""

    def __init__(self, users: MemoryUsers, feeds: MemoryFeeds, clock: Clock = lambda: NOW) -> None:
        self._users = users
        self._feeds = feeds
        self._clock = clock
        self._held: dict[UUID, Erasure] = {}
        self._of: dict[UserId, UUID] = {}
        self._reusable: set[UUID] = set()
        self.settling = False

    async def begin(self, user: UserId, entry: Entry, *, reusable: bool) -> Erasure:
        self.reach()
        if user not in self._users.held and user not in self._of:
            raise UnknownUser
        if user in self._users.held:
            self._feeds.begin_erasure(user)
            made = UUID(int=len(self._held) + 1)
            self._held[made] = Erasure(
                id=made, requested_at=self._clock(), deleted={"users": 1}, user_id=user
            )
            self._of[user] = made
        if reusable:
            self._reusable.add(self._of[user])
            self._free(user)
        self._users.audited.append(entry)
        return self._held[self._of[user]]

    async def get(self, erasure: UUID) -> Erasure:
        self.reach()
        if erasure not in self._held:
            raise UnknownErasure
        return self._held[erasure]

    async def unfinished(self, limit: int) -> Sequence[Erasure]:
        self.reach()
        waiting = [one for one in self._held.values() if one.finished_at is None]
        return [replace(one, settled=not self.settling) for one in waiting[:limit]]

    async def delete_some(
        self, erasure: UUID, after: NotificationId | None, limit: int
    ) -> NotificationId | None:
        self.reach()
        one = self._held[erasure]
        assert one.user_id is not None
        gone = self._feeds.erase_some(one.user_id, limit)
        if gone:
            total = one.deleted.get("notifications", 0) + len(gone)
            self._held[erasure] = replace(one, deleted={**one.deleted, "notifications": total})
        return gone[-1] if gone else None

    async def finish(self, erasure: UUID, kafka_keeps: timedelta | None, entry: Entry) -> bool:
        self.reach()
        one = self._held[erasure]
        if one.user_id is None or self.settling or self._feeds.holds(one.user_id):
            return False
        now = self._clock()
        until = None if kafka_keeps is None else now + kafka_keeps
        self._held[erasure] = replace(one, user_id=None, finished_at=now, kafka_until=until)
        self._users.audited.append(entry)
        self._free(one.user_id)
        return True

    def _free(self, user: UserId) -> None:
        erasure = self._of[user]
        if erasure in self._reusable and self._held[erasure].finished_at is not None:
            self._users.erased.discard(user)


class MemoryExports(Reachable):
    def __init__(self, users: MemoryUsers, feeds: MemoryFeeds, *, page: int = 2) -> None:
        self._users = users
        self._feeds = feeds
        self._page = page
        self.breaks_after: list[int] = []
        """After how many pages each of the next snapshots ends, by being out of reach."""
        self.closed = 0

    async def pages(self, user: UserId, after: NotificationId | None) -> AsyncGenerator[ExportPage, None]:
        self.reach()
        known, (feed, choices) = await self._users.get(user), await self._feeds.choices(user)
        items = [item for item in self._feeds.everything(user) if after is None or item.id > after]
        left = self.breaks_after.pop(0) if self.breaks_after else None
        try:
            for start in range(0, max(len(items), 1), self._page):
                if left == 0:
                    raise Unavailable
                left = None if left is None else left - 1
                chunk = tuple(items[start : start + self._page])
                yield ExportPage(known, feed, choices, chunk, start + self._page < len(items))
        finally:
            self.closed += 1


class MemoryAudit(Reachable):
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def add(self, entry: Entry) -> None:
        self.reach()
        self.entries.append(entry)

    async def page(self, search: Search, limit: int, before: UUID | None = None) -> Sequence[Recorded]:
        self.reach()
        return []


@dataclass
class _Entry:
    feed: Feed
    items: dict[NotificationId, Rendered]
    complete: bool


class MemoryIndex(Reachable):
    def __init__(self, render: Callable[[Notification], Rendered], capacity: int = 200) -> None:
        self._render = render
        self.capacity = capacity
        self._entries: dict[UserId, _Entry] = {}
        self._leases: dict[UserId, str] = {}
        self._given = 0
        self._sampled = 0

    async def page(self, user: UserId, limit: int, before: NotificationId | None) -> RenderedPage | Missing:
        if self.away:
            return Missing(None)
        entry = self._entries.get(user)
        if entry is not None:
            ids = sorted((item for item in entry.items if before is None or item < before), reverse=True)
            if limit == 0 or entry.complete or len(ids) > limit:
                items = [entry.items[item] for item in ids[:limit]]
                return RenderedPage(entry.feed, items, more=0 < limit < len(ids))
            if before is not None:
                return Missing(None)
        if user in self._leases:
            return Missing(None)
        self._given += 1
        self._leases[user] = f"lease {self._given}"
        return Missing(self._leases[user])

    async def load(self, page: RenderedPage, lease: str) -> None:
        if self.away or self._leases.get(page.feed.user_id) != lease:
            return
        del self._leases[page.feed.user_id]
        items = {_id_of(item): item for item in page.items}
        self._entries[page.feed.user_id] = _Entry(page.feed, items, complete=not page.more)

    async def sample(self, count: int) -> Sequence[UserId]:
        users = [] if self.away else list(self._entries)
        self._sampled = self._sampled if self._sampled < len(users) else 0
        found = users[self._sampled : self._sampled + count]
        self._sampled += len(found)
        return found

    async def entry(self, user: UserId) -> IndexEntry | None:
        found = self._entries.get(user)
        if found is None or self.away:
            return None
        ids = sorted(found.items, reverse=True)
        held = tuple((item, int(loads(found.items[item])["version"])) for item in ids)
        return IndexEntry(found.feed, held, found.complete)

    async def forget(self, user: UserId) -> None:
        if not self.away:
            self.drop(user)

    async def erase(self, user: UserId) -> None:
        self.reach()
        self.drop(user)
        self._leases.pop(user, None)

    def drop(self, user: UserId) -> None:
        """What it may do at any time."""
        self._entries.pop(user, None)

    def apply(self, change: FeedChange) -> None:
        """Learn of a change, if what is held is what it follows; forget the feed if there is a gap."""
        user = change.feed.user_id
        self._leases.pop(user, None)
        entry = self._entries.get(user)
        if entry is None or self._knows(entry, change.feed):
            return
        if entry.feed.epoch != change.feed.epoch or not self._follows(entry, change):
            self.drop(user)

    def _knows(self, entry: _Entry, feed: Feed) -> bool:
        return entry.feed.epoch == feed.epoch and entry.feed.version >= feed.version

    def _follows(self, entry: _Entry, change: FeedChange) -> bool:
        """Apply the change; return False if it does not fit."""
        if isinstance(change, Settled) or entry.feed.version != change.prev:
            return False
        if isinstance(change, Chosen):
            entry.feed = change.feed
            return True
        if change.notifications is None:
            return False
        replaced = {item.id for item in change.notifications if entry.items.pop(item.id, None)}
        unread = [item for item in change.notifications if item.unread]
        for item in sorted(unread, key=lambda item: item.id not in replaced):
            if not entry.complete and not entry.items and item.id not in replaced:
                return False
            if entry.complete or item.id in replaced or item.id > min(entry.items):
                entry.items[item.id] = self._render(item)
        entry.feed = change.feed
        for item_id in sorted(entry.items)[: -self.capacity]:
            del entry.items[item_id]
            entry.complete = False
        return True


def _id_of(item: Rendered) -> NotificationId:
    return NotificationId(UUID(loads(item)["id"]))


class MemoryCarrier:
    """One that brings every frame anyway. It remembers for whom it was asked to."""

    def __init__(self) -> None:
        self.joined: list[UserId] = []
        self.left: list[UserId] = []

    async def join(self, user: UserId) -> None:
        self.joined.append(user)

    def leave(self, user: UserId) -> None:
        self.left.append(user)


class MemoryAnnouncer(Reachable):
    """First the index, then the open streams."""

    def __init__(self, index: MemoryIndex, live: Hub, frame: Callable[[FeedChange], Frame]) -> None:
        self._index = index
        self._live = live
        self._frame = frame
        self._untold: dict[UserId, Feed] = {}
        self.announced: list[FeedChange] = []

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        self.announced += changes
        if self.away:
            for change in changes:
                known = self._untold.get(change.feed.user_id)
                if known is None or known.version < change.feed.version:
                    self._untold[change.feed.user_id] = change.feed
            return
        for change in changes:
            self._index.apply(change)
        self._live.deliver([self._frame(change) for change in changes])

    async def heal(self) -> None:
        """Tell what could not be told."""
        self.reach()
        feeds, self._untold = list(self._untold.values()), {}
        await self.announce([Settled(feed) for feed in feeds])


@dataclass
class Received:
    frames: list[Frame] = field(default_factory=list)
    missed: bool = False


class Mailbox:
    """A follower that keeps what it is handed, until somebody asks."""

    def __init__(self) -> None:
        self._received = Received()
        self._news = asyncio.Event()

    def take(self, frame: Frame) -> None:
        self._received.frames.append(frame)
        self._news.set()

    def miss(self) -> None:
        self._received.missed = True
        self._news.set()

    async def next(self, seconds: float) -> Received:
        """What came; nothing after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()
        received, self._received = self._received, Received()
        return received


@asynccontextmanager
async def following(live: LiveFeed, user: UserId) -> AsyncIterator[Mailbox]:
    """What is handed to one follower of a user meanwhile."""
    mailbox = Mailbox()
    try:
        await live.join(user, mailbox)
        yield mailbox
    finally:
        live.leave(user, mailbox)


class MemoryQueue(Reachable):
    """Where it is away, nobody knows what became of a draft."""

    def __init__(self) -> None:
        self.held: list[Draft] = []
        self.unconfirmed: set[NotificationId] = set()

    async def put(self, draft: Draft) -> None:
        outcome = (await self.put_all([draft]))[0]
        if outcome is not None:
            raise outcome

    async def put_all(self, drafts: Sequence[Draft]) -> Sequence[Unconfirmed | None]:
        lost = [self.away or draft.id in self.unconfirmed for draft in drafts]
        self.held += [draft for draft, gone in zip(drafts, lost, strict=True) if not gone]
        return [Unconfirmed(draft.id) if gone else None for draft, gone in zip(drafts, lost, strict=True)]


class MemoryKeys(Reachable):
    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[str, NotificationId]] = {}

    async def claim(
        self, producer: str, key: str, fingerprint: str, notification: NotificationId
    ) -> NotificationId:
        self.reach()
        known, first = self._held.setdefault((producer, key), (fingerprint, notification))
        if known != fingerprint:
            raise KeyReused
        return first


class MemoryStages(Reachable):
    def __init__(self) -> None:
        self._noted: dict[NotificationId, dict[Stage, datetime]] = {}

    def note(self, stage: Stage, notifications: Iterable[NotificationId], at: datetime) -> None:
        for notification in notifications:
            self._noted.setdefault(notification, {}).setdefault(stage, at)

    async def of(self, notification: NotificationId) -> Mapping[Stage, datetime]:
        self.reach()
        return self._noted.get(notification, {})


class MemoryTickets(Reachable):
    lifetime = 30

    def __init__(self) -> None:
        self._held: dict[str, Claims] = {}
        self._issued = 0

    async def issue(self, claims: Claims) -> str:
        self.reach()
        self._issued += 1
        ticket = f"ticket-{self._issued}"
        self._held[ticket] = claims
        return ticket

    async def redeem(self, ticket: str) -> Claims:
        self.reach()
        if ticket not in self._held:
            raise NotAuthenticated
        return self._held.pop(ticket)


class MemoryRevokedTokens(Reachable):
    def __init__(self, clock: Clock = lambda: NOW) -> None:
        self._clock = clock
        self.held: dict[str, tuple[datetime, datetime]] = {}
        """When each was revoked, and when it expires."""
        self.audited: list[Entry] = []

    async def add(self, token: RevokedToken, entry: Entry | None = None) -> None:
        self.reach()
        self.audited += [] if entry is None else [entry]
        known = self.held.get(token.token_id)
        if known is None or known[1] < token.expires_at:
            self.held[token.token_id] = self._clock(), token.expires_at

    async def latest(self, since: datetime | None) -> LatestRevokedTokens:
        self.reach()
        now = self._clock()
        found = [
            RevokedToken(token, expires_at)
            for token, (at, expires_at) in self.held.items()
            if (since is None or at >= since) and expires_at > now
        ]
        return LatestRevokedTokens(now, found)

    async def prune(self) -> int:
        self.reach()
        expired = [token for token, (_, expires_at) in self.held.items() if expires_at < self._clock()]
        for token in expired:
            del self.held[token]
        return len(expired)


class MemoryTokens:
    def __init__(self, lifetime: timedelta = timedelta(hours=1)) -> None:
        self._lifetime = lifetime
        self._minted: dict[str, Claims] = {}

    def mint(self, user: UserId, at: datetime) -> tuple[str, int]:
        token = f"token-{len(self._minted) + 1}"
        self._minted[token] = Claims(user, (at + self._lifetime).replace(microsecond=0), at, token)
        return token, int(self._lifetime.total_seconds())

    def verify(self, token: str, at: datetime) -> Claims:
        claims = self._minted.get(token)
        if claims is None or claims.expires_at <= at:
            raise NotAuthenticated
        return claims

    async def renew_keys(self) -> bool:
        return False


class MemoryPasswords:
    async def hash(self, password: str, party: str = "") -> str:
        return f"hash of {password[::-1]}"

    async def verify(
        self, password: str, password_hash: str | None, party: str = "", *, first: bool = False
    ) -> bool:
        return password_hash == await self.hash(password)


class MemoryRates(Reachable):
    def __init__(self, now: Monotonic) -> None:
        self._now = now
        self._due: dict[tuple[str, str], float] = {}
        self.settled: list[Use] = []

    async def take(self, use: Use) -> tuple[bool, float]:
        self.reach()
        now, key = self._now(), (use.limit, use.party)
        due = self._due.get(key, 0.0)
        if wait := use.rate.wait(due, now, use.cost):
            return False, wait
        self._due[key] = use.rate.after(due, now, use.cost)
        return True, self._due[key] - now

    async def settle(self, uses: Sequence[Use]) -> Sequence[float]:
        self.reach()
        self.settled += uses
        return [self._add(use) for use in uses]

    def _add(self, use: Use) -> float:
        now, key = self._now(), (use.limit, use.party)
        self._due[key] = use.rate.after(self._due.get(key, 0.0), now, use.cost)
        return self._due[key] - now


class MemoryApiKeys(Reachable):
    def __init__(self, clock: Clock = lambda: NOW) -> None:
        self._clock = clock
        self._held: dict[str, ApiKey] = {}
        self.audited: list[Entry] = []
        self._changed: dict[str, datetime] = {}
        self.asked = 0
        """How often a key was looked up."""

    async def add(self, key: ApiKey, entry: Entry | None = None) -> None:
        self.reach()
        self.audited += [] if entry is None else [entry]
        self._set(key)

    async def get(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        self.reach()
        return self._held.get(key_id)

    async def all(self) -> Sequence[ApiKey]:
        self.reach()
        return sorted(self._held.values(), key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str, at: datetime, entry: Entry | None = None) -> bool:
        self.reach()
        key = self._held.get(key_id)
        if key is None or key.revoked_at is not None:
            return False
        self._set(replace(key, revoked_at=at))
        self.audited += [] if entry is None else [entry]
        return True

    async def replace(
        self, key_id: str, successor: ApiKey, until: datetime, entry: Entry | None = None
    ) -> bool:
        self.reach()
        key = self._held.get(key_id)
        if key is None or key.replaced_by is not None or not key.usable(successor.created_at):
            return False
        end = until if key.expires_at is None else min(key.expires_at, until)
        self._set(replace(key, replaced_by=successor.id, expires_at=end))
        self._set(successor)
        self.audited += [] if entry is None else [entry]
        return True

    async def changed(self, since: datetime | None) -> LatestKeys:
        self.reach()
        found = [self._held[key] for key, at in self._changed.items() if since is None or at >= since]
        return LatestKeys(self._clock(), found)

    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        self.reach()
        for key_id, at in uses.items():
            key = self._held[key_id]
            if key.last_used_at is None or at - key.last_used_at >= timedelta(minutes=1):
                self._held[key_id] = replace(key, last_used_at=at)

    def _set(self, key: ApiKey) -> None:
        self._held[key.id] = key
        self._changed[key.id] = self._clock()


class MemoryDeadLetterBox(Reachable):
    replays_to = "topic"

    def __init__(self) -> None:
        self.held: list[DeadLetter] = []
        self.replayed: list[Position] = []
        self.takes: int | None = None
        """After how many replays it is away."""

    async def read(
        self, progress: Progress, partitions: Collection[int] | None = None
    ) -> AsyncGenerator[DeadLetter, None]:
        self.reach()
        there = sorted(
            (letter for letter in self.held if partitions is None or letter.position.partition in partitions),
            key=lambda letter: letter.position,
        )
        for done, letter in enumerate(there, 1):
            yield letter
            progress(done, len(there))

    async def get(self, position: Position) -> DeadLetter:
        self.reach()
        for letter in self.held:
            if letter.position == position:
                return letter
        raise UnknownDeadLetter

    async def replay(self, letter: DeadLetter) -> None:
        self.away |= len(self.replayed) == self.takes
        self.reach()
        self.replayed.append(letter.position)
