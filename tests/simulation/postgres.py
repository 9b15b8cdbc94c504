"""The truth, in memory: it survives every crash, and it may commit without saying so."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from application.errors import Unavailable
from application.feeds import Appended, FeedHistory, FeedPage, MarkRequest, Retracted, Standing
from application.pages import RenderedPage, rendered
from common import wire
from domain.arrivals import Arrival
from domain.feed import Added, Cursor, Edited, Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import BEFORE_ALL, Draft, Notification
from domain.states import Mark, Status
from tests.build import a_user
from tests.memory import MemoryFeeds, MemoryUsers
from tests.model.history import History
from tests.simulation.world import Server, World

REFUSED = "refused by the store"
"""A message that the store never takes."""


RETRACTED = -1
"""Stands for the revision of a retraction."""


def step_of(arrival: Arrival) -> tuple[UserId, NotificationId, int]:
    """Which change of its notification it asks for."""
    return arrival.user_id, arrival.id, arrival.revision if isinstance(arrival, Draft) else RETRACTED


class ReadOnly(Unavailable):
    """The server takes no writes: surely nothing was done."""


class Postgres:
    """The server: users, feeds, and the history of every feed."""

    def __init__(self, world: World, users: Sequence[UserId]) -> None:
        self.world = world
        self.server = Server("PostgreSQL", patience=5.0)
        self.read_only = False
        self.users = MemoryUsers()
        self.feeds = MemoryFeeds(self.users)
        self.sent: dict[tuple[UserId, NotificationId], list[Arrival]] = {}
        """What anybody ever wrote to the topic about a notification."""
        self.stored_at: dict[tuple[UserId, NotificationId, int], int] = {}
        """The version with which each revision, and each retraction, entered its feed."""
        self.withheld: set[tuple[UserId, NotificationId]] = set()
        self.unread_wanted: set[UserId] = set()
        self.brought_back: set[tuple[UserId, NotificationId]] = set()
        """What a user made unread again, or took out of the archive: there may be another with its key."""
        self.excused: dict[UserId, str] = {}
        """Users of whom Redis was not told everything, for a reason that docs/architecture.md gives: until
        an entry expires and a stream resumes, they may be behind."""
        self.in_doubt = dict.fromkeys(users, 0)
        """Marks that were asked for and may still be made."""
        for user in users:
            world.now_or_never(self.users.add(a_user(user), None))
        self.history = {user: History(self.feed(user), wire.render) for user in users}

    def feed(self, user: UserId) -> Feed:
        feed: Feed = self.world.now_or_never(self.feeds.feed(user))
        return feed

    def holds(self, user: UserId, notification: NotificationId) -> bool:
        """Whether it is stored, or withheld."""
        stored = user in self.history and notification in self.history[user].held
        return stored or (user, notification) in self.withheld

    def take_note(self, arrival: Arrival) -> None:
        """Somebody wrote this to the topic."""
        self.sent.setdefault((arrival.user_id, arrival.id), []).append(arrival)

    def obeyed(self, arrival: Arrival) -> bool:
        """Whether it has had its effect: the notification is withheld, or taken back, or of this revision or
        a higher one.
        """
        if not self.holds(arrival.user_id, arrival.id):
            return False
        if (arrival.user_id, arrival.id) in self.withheld:
            return True
        item = self.history[arrival.user_id].held[arrival.id]
        edited = isinstance(arrival, Draft) and arrival.revision <= item.revision
        return edited or item.retracted_at is not None

    def check_writable(self) -> None:
        """Raise if the server is one that only reads, as after a failover."""
        if self.read_only:
            raise ReadOnly

    def append(self, arrivals: Sequence[Arrival], now: datetime) -> Appended:
        """Commit arrivals. Everything committed is compared with what was sent."""
        self.check_writable()
        drafts = [arrival for arrival in arrivals if isinstance(arrival, Draft)]
        self.feeds.refused |= {draft.id for draft in drafts if draft.content.message == REFUSED}
        appended: Appended = self.world.now_or_never(self.feeds.append(arrivals, now))
        shown = {(item.user_id, item.id) for added in appended.added for item in added.notifications}
        self.withheld = self.withheld - shown | {(one.user_id, one.id) for one in appended.withheld}
        for change in (*appended.changed, *appended.added):
            for item in change.notifications or ():
                self._check_sent(item)
            self._tell(change)
        self._check_account()
        return appended

    def _check_sent(self, item: Notification) -> None:
        sent = self.sent.get((item.user_id, item.id), [])
        step = RETRACTED if item.retracted_at is not None else item.revision
        self.stored_at.setdefault((item.user_id, item.id, step), item.version)
        self.world.check(sent, f"I2: nobody sent {item.id} to {item.user_id}")
        messages = {
            one.content.message for one in sent if isinstance(one, Draft) and one.revision == item.revision
        }
        self.world.check(item.message in messages, f"I2: {item.id} says something else than was sent")

    def _check_account(self) -> None:
        """Nothing is both stored and withheld, and of a group there is one that is new."""
        for user, history in self.history.items():
            both = [one for one in history.held if (user, one) in self.withheld]
            self.world.check(not both, f"I1: {both} are stored and withheld")
            fresh = [item.id for item in history.held.values() if item.collapse_key and item.unread]
            fresh = [one for one in fresh if (user, one) not in self.brought_back]
            self.world.check(len(fresh) <= 1, f"I14: {fresh} have the same key")

    def mark(self, marked: Marked) -> Marked:
        """Take note of a mark."""
        self._tell(marked)
        return marked

    def told(self, user: UserId) -> None:
        """Redis was told where the feed stands. What may still come is another matter."""
        if self.in_doubt[user] == 0:
            self.excused.pop(user, None)

    def excuse(self, user: UserId, reason: str) -> None:
        """Nobody can know that Redis was not told."""
        self.world.note(f"{user} may be behind: {reason}")
        self.excused[user] = reason

    def _tell(self, change: Added | Edited | Marked) -> None:
        user = change.feed.user_id
        history = self.history[user]
        before = dict(history.held)
        try:
            history.tell(change)
        except AssertionError as error:
            self.world.check(False, f"I1: the feed of {user} went wrong: {error}")
        self.brought_back |= {
            (user, item.id)
            for item in history.held.values()
            if item.unread and item.id in before and not before[item.id].unread
        }
        revived = [item.id for item in history.held.values() if _revived(before.get(item.id), item)]
        self.world.check(
            not revived or user in self.unread_wanted, f"I5: {revived} turned unread, and nobody asked for it"
        )


def _revived(before: Notification | None, after: Notification) -> bool:
    return before is not None and before.read_at is not None and after.read_at is None


class SimulatedUsers:
    """The port Users, over the network."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def known(self, users: Sequence[UserId]) -> frozenset[UserId]:
        postgres = self._postgres
        work = [lambda: postgres.world.now_or_never(postgres.users.known(users))]
        found: frozenset[UserId] = (await postgres.world.ask(postgres.server, "known", work, Unavailable))[0]
        return found

    async def add(self, user: Any, password_hash: str | None) -> None:
        raise NotImplementedError

    async def get(self, user: UserId) -> Any:
        raise NotImplementedError

    async def credentials(self, emails: Sequence[str]) -> Any:
        raise NotImplementedError


class SimulatedFeeds:
    """The port Feeds, over the network, for one process."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._memory = postgres.feeds
        self._marking: list[UserId] = []
        self._marked: dict[UserId, int] = {}

    def owed(self, told: Mapping[str, int]) -> Sequence[UserId]:
        """Users whose feeds this process marked, or is marking, without Redis having been told."""
        marked = [user for user, version in self._marked.items() if told.get(user, 0) < version]
        return [*self._marking, *marked]

    async def _mark(
        self, what: str, users: Sequence[UserId], make: Callable[[], Mapping[UserId, Marked]]
    ) -> Mapping[UserId, Marked]:
        def commit() -> Mapping[UserId, Marked]:
            for user in users:
                self._postgres.in_doubt[user] -= 1
            self._postgres.check_writable()
            made = make()
            for user, marked in made.items():
                self._marked[user] = self._postgres.mark(marked).feed.version
            return made

        self._marking += users
        for user in users:
            self._postgres.in_doubt[user] += 1
        try:
            found: Mapping[UserId, Marked] = await self._ask(what, commit)
        except ReadOnly:
            raise
        except Unavailable:
            for user in users:
                self._postgres.excuse(user, "nobody knows whether it was marked")
            raise
        finally:
            for user in users:
                self._marking.remove(user)
        return found

    async def _mark_one(self, what: str, user: UserId, work: Callable[[], Any]) -> Marked:
        return (await self._mark(what, [user], lambda: {user: self._now(work())}))[user]

    async def _ask(self, what: str, operation: Callable[[], Any]) -> Any:
        world = self._postgres.world
        return (await world.ask(self._postgres.server, what, [operation], Unavailable))[0]

    def _now(self, work: Any) -> Any:
        return self._postgres.world.now_or_never(work)

    async def append(self, arrivals: Sequence[Arrival], now: datetime = BEFORE_ALL) -> Appended:
        what = f"append {[str(one.id)[-6:] for one in arrivals]}" if self._postgres.world.tracing else ""
        found: Appended = await self._ask(what, lambda: self._postgres.append(arrivals, now))
        return found

    async def retract(
        self, user: UserId, notification: NotificationId, at: datetime, key_id: str | None = None
    ) -> Retracted:
        """Nobody takes anything back here."""
        raise NotImplementedError

    async def mark(
        self,
        user: UserId,
        mark: Mark,
        ids: Sequence[NotificationId],
        at: datetime,
        *,
        action: str | None = None,
    ) -> Marked:
        what = f"mark {len(ids)} of {user} {mark}"
        return await self._mark_one(what, user, lambda: self._memory.mark(user, mark, ids, at, action=action))

    async def mark_together(self, mark: Mark, requests: Sequence[MarkRequest]) -> Mapping[UserId, Marked]:
        world, users = self._postgres.world, [request.user_id for request in requests]

        def make() -> Mapping[UserId, Marked]:
            """Some feeds are locked just then."""
            free = [request for request in requests if world.chance(0.8)]
            made: Mapping[UserId, Marked] = self._now(self._memory.mark_together(mark, free))
            return made

        return await self._mark(f"mark {users} {mark}", users, make)

    async def mark_up_to(
        self, user: UserId, mark: Mark, cursor: Cursor, at: datetime, *, category: str | None = None
    ) -> Marked:
        what = f"mark {user} {mark} up to {cursor}"
        return await self._mark_one(
            what, user, lambda: self._memory.mark_up_to(user, mark, cursor, at, category=category)
        )

    async def feed(self, user: UserId) -> Feed:
        found: Feed = await self._ask(f"feed of {user}", lambda: self._now(self._memory.feed(user)))
        return found

    async def get(self, user: UserId, notification: NotificationId) -> Notification:
        found: Notification = await self._ask(
            f"get of {user}", lambda: self._now(self._memory.get(user, notification))
        )
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
        found: FeedPage = await self._ask(
            f"page of {user}",
            lambda: self._now(
                self._memory.page(
                    user, status, limit=limit, before=before, event=event, categories=categories
                )
            ),
        )
        return found

    async def rendered_page(self, user: UserId, status: Status, **wanted: Any) -> RenderedPage:
        page = await self.page(user, status, **wanted)
        return rendered(page.feed, page.notifications, wire.render, more=page.more)

    async def standings(self, users: Collection[UserId]) -> Mapping[UserId, Standing]:
        found: Mapping[UserId, Standing] = await self._ask(
            f"standings of {sorted(users)}", lambda: self._now(self._memory.standings(users))
        )
        return found

    async def histories(
        self, wanted: Sequence[tuple[UserId, int]], limit: int
    ) -> Sequence[FeedHistory | None]:
        found: Sequence[FeedHistory | None] = await self._ask(
            f"histories of {wanted}", lambda: self._now(self._memory.histories(wanted, limit))
        )
        return found

    async def due(self, mark: Mark, at: datetime, limit: int) -> Sequence[tuple[UserId, NotificationId]]:
        found: Sequence[tuple[UserId, NotificationId]] = await self._ask(
            f"due to be {mark}", lambda: self._now(self._memory.due(mark, at, limit))
        )
        return found
