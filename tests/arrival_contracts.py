"""What a store promises about edits, retractions, preferences and groups: domain.arrivals, through `append`.

As in tests/contracts.py, a subclass brings the fixtures.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from application.feeds import Appended
from application.ports import Categories, Feeds, Preferences, Users
from common import wire
from domain.arrivals import Arrival, Reason
from domain.category import Category
from domain.feed import Marked, Settled
from domain.group import OPEN_FOR
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification, Retraction
from domain.rich import Action, Actor, Rich
from domain.states import Mark, Status
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id, drafts
from tests.contracts import everything
from tests.model.history import History

Withheld = Mapping[tuple[UserId, NotificationId], tuple[str, str | None, str | None]]
"""The reason, event and category of each."""
ReadWithheld = Callable[[], Awaitable[Withheld]]

ORDERS = list(permutations(range(3)))


def an_edit(n: int = 1, revision: int = 1, *, unread: bool = False, **content: Any) -> Draft:
    return replace(a_draft(n, **content), revision=revision, unread=unread)


def a_like(n: int, name: str = "Ada", user: UserId = ADA, **content: Any) -> Draft:
    fields: dict[str, Any] = {"collapse_key": "post", "actor": Actor(name=name), "message": f"like {n}"}
    return a_draft(n, user, **fields | content)


def take_back(n: int = 1, user: UserId = ADA) -> Retraction:
    return Retraction(user, an_id(n))


@dataclass
class Inbox:
    """A store, and the histories of its feeds as its changes tell them."""

    feeds: Feeds
    read_withheld: ReadWithheld
    histories: dict[UserId, History]

    async def take(self, *arrivals: Arrival, now: datetime = NOW) -> Appended:
        """Let these arrive together. What the store says it did must make the feed what it is."""
        appended = await self.feeds.append(arrivals, now)
        self.tell(appended)
        return appended

    def tell(self, appended: Appended) -> None:
        for change in (*appended.changed, *appended.added):
            self.histories[change.feed.user_id].tell(change)

    async def mark(self, mark: Mark, *numbers: int) -> None:
        self.histories[ADA].tell(await self.feeds.mark(ADA, mark, [an_id(n) for n in numbers], NOW))

    async def check(self) -> None:
        """Check that the changes, in their order, lead to what is stored, and that nothing is both stored
        and withheld.
        """
        withheld = await self.read_withheld()
        for user, history in self.histories.items():
            history.check_whole()
            stored = {item.id: item for item in await everything(self.feeds, user)}
            assert stored == history.held
            assert await self.feeds.feed(user) == history.feed
            assert not {(user, one) for one in stored} & withheld.keys()

    async def shown(self, user: UserId = ADA) -> Sequence[Notification]:
        await self.check()
        return (await self.feeds.page(user, Status.ALL, limit=100)).notifications

    async def messages(self, user: UserId = ADA) -> Sequence[str]:
        return [item.message for item in await self.shown(user)]

    async def reasons(self) -> Mapping[NotificationId, str]:
        return {one: reason for (_, one), (reason, _, _) in (await self.read_withheld()).items()}


class ArrivalsContract:
    """Needs `feeds`, `users`, `preferences` and `categories` of the same store, and what it withheld."""

    @pytest.fixture
    async def inbox(self, feeds: Feeds, users: Users, read_withheld: ReadWithheld) -> Inbox:
        for user in (ADA, BOB):
            await users.add(a_user(user), None)
        histories = {user: History(await feeds.feed(user), wire.render) for user in (ADA, BOB)}
        return Inbox(feeds, read_withheld, histories)

    # --- revisions ---

    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    @pytest.mark.parametrize("order", ORDERS, ids=str)
    async def test_the_highest_revision_stands(
        self, inbox: Inbox, order: Sequence[int], together: bool
    ) -> None:
        revisions = [a_draft(message="first"), an_edit(message="second"), an_edit(1, 7, message="third")]
        arrivals = [revisions[place] for place in order]
        for batch in [arrivals] if together else [[arrival] for arrival in arrivals]:
            await inbox.take(*batch)

        (item,) = await inbox.shown()
        assert (item.message, item.revision) == ("third", 7)
        again = await inbox.take(*revisions)
        assert again.present == (Settled(await inbox.feeds.feed(ADA)),)
        assert (again.added, again.changed) == ((), ())

    async def test_every_field_of_an_edit_comes_back(self, inbox: Inbox) -> None:
        await inbox.take(a_draft())
        fields: dict[str, Any] = {
            "message": "new",
            "title": "A title",
            "metadata": {"build": 7},
            "action_url": "/x",
            "expires_at": NOW + timedelta(days=2),
            "rich": Rich(severity="critical", icon="bolt", actions=(Action(id="a", label="A"),)),
        }

        (edited,) = (await inbox.take(an_edit(1, 2**53 - 1, **fields), now=LATER)).changed

        (item,) = await inbox.shown()
        assert edited.notifications == (item,)
        assert {name: getattr(item, name) for name in fields if name != "metadata"} == {
            name: value for name, value in fields.items() if name != "metadata"
        }
        assert (item.metadata.text, item.edited_at, item.revision) == ('{"build":7}', LATER, 2**53 - 1)

    async def test_an_edit_leaves_it_read_or_makes_it_unread(self, inbox: Inbox) -> None:
        await inbox.take(*drafts(2))
        await inbox.mark(Mark.READ, 1, 2)

        await inbox.take(an_edit(1, message="quiet"), an_edit(2, message="loud", unread=True))

        loud, quiet = await inbox.shown()
        assert (loud.unread, loud.unseen, quiet.read_at) == (True, True, NOW)

    # --- retractions ---

    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    @pytest.mark.parametrize("order", ORDERS, ids=str)
    async def test_what_was_taken_back_is_not_shown_whatever_comes_first(
        self, inbox: Inbox, order: Sequence[int], together: bool
    ) -> None:
        all_of_it: list[Arrival] = [a_draft(), an_edit(), take_back()]
        arrivals = [all_of_it[place] for place in order]
        for batch in [arrivals] if together else [[arrival] for arrival in arrivals]:
            await inbox.take(*batch)

        assert await inbox.shown() == ()
        version = (await inbox.feeds.feed(ADA)).version
        assert (await inbox.take(*all_of_it)).present
        assert (await inbox.feeds.feed(ADA)).version == version

    async def test_a_tombstone_is_recorded_and_holds(self, inbox: Inbox) -> None:
        assert (await inbox.feeds.retract(ADA, an_id(1), NOW)).marked is None
        await inbox.take(a_draft(1), a_draft(2))
        await inbox.take(a_draft(1, BOB))

        assert await inbox.read_withheld() == {(ADA, an_id(1)): (Reason.RETRACTED, None, None)}
        assert len(await inbox.shown()) == len(await inbox.shown(BOB)) == 1

    # --- preferences ---

    async def test_a_redelivery_after_a_flip_changes_nothing(
        self, inbox: Inbox, preferences: Preferences
    ) -> None:
        inbox.histories[ADA].tell(await preferences.choose(ADA, {"billing": False}))
        batch = [a_draft(1, category="billing", event="bill.due"), a_draft(2)]
        first = await inbox.take(*batch)
        inbox.histories[ADA].tell(await preferences.choose(ADA, {"billing": True, "comment": False}))

        again = await inbox.take(*batch) + await inbox.take(batch[0])
        await inbox.take(a_draft(3, category="billing"), a_draft(4))

        assert [one.id for one in first.withheld] == [an_id(1)]
        assert (again.added, again.withheld) == ((), ())
        assert [item.id for item in await inbox.shown()] == [an_id(3), an_id(2)]
        assert await inbox.read_withheld() == {
            (ADA, an_id(1)): (Reason.PREFERENCE, "bill.due", "billing"),
            (ADA, an_id(4)): (Reason.PREFERENCE, "comment.created", "comment"),
        }

    @pytest.mark.parametrize(
        ("refined", "shown"),
        [
            ((Category(id="comment", default_on=False), None), False),
            ((Category(id="comment", default_on=False), True), True),
            ((Category(id="comment", mandatory=True), False), True),
            ((Category(id="comment", default_on=False, mandatory=True), None), True),
        ],
    )
    async def test_categories_and_choices_decide(
        self,
        inbox: Inbox,
        preferences: Preferences,
        categories: Categories,
        refined: tuple[Category, bool | None],
        *,
        shown: bool,
    ) -> None:
        category, chosen = refined
        await categories.set(category)
        inbox.histories[ADA].tell(await preferences.choose(ADA, {"comment": chosen}))

        await inbox.take(a_draft())

        assert bool(await inbox.shown()) is shown
        assert bool(await inbox.reasons()) is not shown

    # --- expiry ---

    async def test_what_expired_before_it_came_is_withheld(self, inbox: Inbox) -> None:
        await inbox.take(a_draft(1, expires_at=NOW), a_draft(2, expires_at=LATER))

        assert [item.id for item in await inbox.shown()] == [an_id(2)]
        assert await inbox.reasons() == {an_id(1): Reason.EXPIRED}

    async def test_what_had_expired_comes_back_with_an_edit_that_has_not(self, inbox: Inbox) -> None:
        await inbox.take(*(a_draft(n, expires_at=NOW) for n in (1, 2, 3, 4)))
        await inbox.take(an_edit(2, revision=3, expires_at=NOW))
        (await inbox.feeds.retract(ADA, an_id(3), NOW))

        edits = [an_edit(n, revision=2, message=f"edit {n}", expires_at=LATER) for n in (1, 2, 3)]
        told = await inbox.take(*edits)
        again = await inbox.take(*edits, a_draft(1, expires_at=NOW))

        assert [item.id for added in told.added for item in added.notifications] == [an_id(1)]
        assert (again.added, again.changed, again.withheld) == ((), (), ())
        assert await inbox.messages() == ["edit 1"]
        assert await inbox.reasons() == {
            an_id(2): Reason.EXPIRED,
            an_id(3): Reason.RETRACTED,
            an_id(4): Reason.EXPIRED,
        }

    async def test_a_category_says_when_its_notifications_expire(
        self, inbox: Inbox, categories: Categories
    ) -> None:
        await categories.set(Category(id="comment", expires_after=timedelta(hours=1)))

        await inbox.take(a_draft(1), a_draft(2, expires_at=LATER), a_draft(3))
        # Of another category, which stays what it is.
        await inbox.take(an_edit(3, category="news", message="edited"))
        await inbox.take(a_draft(4), now=NOW + timedelta(hours=1))

        third, second, first = await inbox.shown()
        assert [third.expires_at, first.expires_at] == [NOW + timedelta(hours=1)] * 2
        assert (third.message, second.expires_at) == ("edited", LATER)
        assert await inbox.reasons() == {an_id(4): Reason.EXPIRED}

    # --- groups ---

    @pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [4], [2, 2], [1, 3], [3, 1]], ids=str)
    @pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
    async def test_of_a_group_there_is_one(self, inbox: Inbox, sizes: Sequence[int], backwards: bool) -> None:
        likes = [a_like(n, f"user {n}") for n in range(1, 5)]
        rest = likes[::-1] if backwards else likes
        for size in sizes:
            await inbox.take(*rest[:size])
            rest = rest[size:]

        (item,) = await inbox.shown()
        assert (item.id, item.group.count, item.group.actor_count) == (an_id(4), 4, 4)
        assert (await inbox.feeds.feed(ADA)).unread_count == 1
        assert set((await inbox.reasons()).values()) <= {Reason.SUPERSEDED}
        for one in likes:
            await inbox.take(one)
        assert await inbox.shown() == (item,)

    @pytest.mark.parametrize(
        ("mark", "collapse", "count"),
        [
            (Mark.READ, "unread", 1),
            (Mark.READ, "always", 2),
            (Mark.SEEN, "unread", 2),
            (Mark.ARCHIVED, "always", 1),
            (Mark.RETRACTED, "always", 1),
        ],
    )
    async def test_what_is_joined(self, inbox: Inbox, mark: Mark, collapse: str, count: int) -> None:
        await inbox.take(a_like(1))
        await inbox.mark(mark, 1)

        await inbox.take(a_like(2, collapse=collapse))

        assert (await inbox.shown())[0].group.count == count

    async def test_holders_may_come_and_go_in_the_batch_that_joins_them(self, inbox: Inbox) -> None:
        """Of several unread ones with one key the next newest is joined, once the newest is taken back."""
        for n in (1, 2, 3):
            await inbox.take(a_like(n, f"user {n}"))
            await inbox.mark(Mark.READ, n)
        await inbox.mark(Mark.UNREAD, 1, 2, 3)

        await inbox.take(take_back(3), take_back(2), a_like(4, "user 4"))

        (item,) = await inbox.shown()
        assert (item.id, item.group.count) == (an_id(4), 2)

    async def test_an_old_group_is_closed(self, inbox: Inbox) -> None:
        await inbox.take(a_like(1))
        await inbox.take(a_like(2), now=NOW + OPEN_FOR)

        assert await inbox.messages() == ["like 2", "like 1"]

    async def test_groups_of_users_are_apart(self, inbox: Inbox) -> None:
        await inbox.take(a_like(1), a_like(2, user=BOB))

        assert (await inbox.messages(), await inbox.messages(BOB)) == (["like 1"], ["like 2"])

    # --- all of it ---

    async def test_a_batch_of_everything_is_told_in_order(self, inbox: Inbox) -> None:
        await inbox.take(a_draft(1), a_draft(2), a_like(3, "Ada"), a_draft(1, BOB))

        told = await inbox.take(
            a_like(4, "Bob"), an_edit(1), take_back(2), a_draft(5), a_draft(2, BOB), take_back(6)
        )

        mine = [change for change in told.changed if change.feed.user_id == ADA]
        assert isinstance(mine[0], Marked)
        assert [change.notifications and [item.id for item in change.notifications] for change in mine] == [
            [an_id(3), an_id(2)],
            [an_id(1)],
        ]
        assert [mine[0].prev, mine[1].prev] == [3, 5]
        ada = next(added for added in told.added if added.feed.user_id == ADA)
        assert [item.version for item in ada.notifications] == [7, 8]
        await inbox.check()

    async def test_many_consumers_at_once_end_as_one_does(
        self, inbox: Inbox, preferences: Preferences
    ) -> None:
        """Each batch comes to two of them, the choice of a user to all. Each has a connection."""
        likes = [a_like(n, f"user {n}", user) for n in range(1, 31) for user in (ADA, BOB)]
        others: list[Arrival] = [
            arrival
            for n in range(40, 50)
            for arrival in (a_draft(n), an_edit(n, 3, message="last"), an_edit(n, 2), take_back(n + 20))
        ]
        bills = [a_draft(n, category="billing") for n in range(80, 90)]
        arrivals = [*likes, *others, *bills, *(a_draft(n + 20) for n in range(40, 50))]
        batches = [arrivals[place::4] for place in range(4)]

        async def choose() -> None:
            for chosen in (False, True, None):
                inbox.histories[ADA].tell(await preferences.choose(ADA, {"billing": chosen}))

        async with asyncio.TaskGroup() as consumers:
            for batch in (*batches, *batches):
                consumers.create_task(inbox.take(*batch))
            consumers.create_task(choose())

        shown = {item.id: item for item in await inbox.shown()}
        assert (await inbox.messages(BOB)) == ["like 30"]
        assert (shown[an_id(30)].group.count, (await inbox.shown(BOB))[0].group.count) == (30, 30)
        assert [shown[an_id(n)].message for n in range(40, 50)] == ["last"] * 10
        assert not [n for n in range(60, 70) if an_id(n) in shown]
        withheld = {one for user, one in await inbox.read_withheld() if user == ADA}
        assert {an_id(n) for n in range(80, 90)} <= shown.keys() | withheld
