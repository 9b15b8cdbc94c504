"""What becomes of drafts and retractions when they reach a feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from domain.arrivals import Arrival, Known, Outcome, Reason, Withheld, arrive
from domain.category import Category
from domain.feed import Feed
from domain.group import OPEN_FOR
from domain.identifiers import NotificationId
from domain.notification import Draft, Notification, Retraction
from domain.rich import Actor
from domain.states import Mark, Status
from tests.build import ADA, LATER, NOW, a_draft, a_feed, an_id
from tests.contracts import check_counts

ORDERS = list(permutations(range(3)))
READ, ARCHIVED, RETRACTED = Mark.READ, Mark.ARCHIVED, Mark.RETRACTED


@dataclass
class Inbox:
    """A feed as a store keeps it."""

    feed: Feed = field(default_factory=lambda: a_feed(0, 0))
    held: dict[NotificationId, Notification] = field(default_factory=dict)
    keys: dict[NotificationId, str | None] = field(default_factory=dict)
    kept_back: dict[NotificationId, Withheld] = field(default_factory=dict)
    choices: dict[str, bool] = field(default_factory=dict)
    categories: dict[str, Category] = field(default_factory=dict)

    def take(self, *arrivals: Arrival, now: datetime = NOW) -> Outcome:
        """Let these arrive together, and check what must always be true."""
        known = Known(self.feed, self.held, self.keys, self.kept_back, self.choices, self.categories)
        outcome = arrive(known, arrivals, now)
        for one in outcome.returned:
            del self.kept_back[one]
        self.kept_back |= {one.id: one for one in outcome.withheld}
        self.keys |= outcome.senders
        self.held = self.held | {item.id: item for item in self._check_versions(outcome)}
        self.feed = outcome.feed
        check_counts(self.feed, self.held.values())
        assert not self.held.keys() & self.withheld.keys()
        return outcome

    def mark(self, mark: Mark, n: int, at: datetime = NOW) -> None:
        """Mark the n-th."""
        item = self.held[an_id(n)]
        after = item.marked(mark, at, self.feed.version + 1)
        self.held = self.held | {item.id: after}
        self.feed = self.feed.changed(after.version, [(item, after)])

    def item(self, n: int) -> Notification:
        return self.held[an_id(n)]

    @property
    def withheld(self) -> Mapping[NotificationId, Reason]:
        return {one: withheld.reason for one, withheld in self.kept_back.items()}

    @property
    def shown(self) -> Sequence[str]:
        """The messages that the user can see, the newest first."""
        items = sorted(self.held.values(), key=lambda item: item.id, reverse=True)
        return [item.message for item in items if item.within(Status.ALL)]

    def _check_versions(self, outcome: Outcome) -> Sequence[Notification]:
        """Versions follow each other: what was retracted, then what was edited, then what is new."""
        changes = [one for one in (outcome.retracted, outcome.edited, outcome.added) if one is not None]
        items: list[Notification] = []
        for change in changes:
            assert change.prev == self.feed.version + len(items)
            assert change.notifications
            items += change.notifications
            assert change.feed.version == self.feed.version + len(items)
        assert [item.version for item in items] == [
            *range(self.feed.version + 1, outcome.feed.version + 1),
        ]
        return items


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def draft(
    n: int = 1,
    message: str = "one",
    *,
    revision: int = 0,
    key: str | None = None,
    own_only: bool = False,
    **content: Any,
) -> Draft:
    return replace(a_draft(n, message=message, **content), revision=revision, key_id=key, own_only=own_only)


def edit(
    message: str = "edited", revision: int = 1, n: int = 1, *, unread: bool = False, **more: Any
) -> Draft:
    return replace(draft(n, message, revision=revision, **more), unread=unread)


def take_back(n: int = 1, key: str | None = None, *, own_only: bool = False) -> Retraction:
    return Retraction(ADA, an_id(n), key, own_only)


def like(n: int, name: str = "Ada", collapse: str = "unread", **more: Any) -> Draft:
    """The n-th like of a post."""
    return draft(n, f"like {n}", collapse_key="post", collapse=collapse, actor=Actor(name=name), **more)


def names(item: Notification) -> Sequence[str]:
    return [actor.name for actor in item.group.actors]


class TestRevisions:
    def test_a_new_one_is_stored_as_it_was_sent(self, inbox: Inbox) -> None:
        outcome = inbox.take(draft())

        assert outcome.added is not None
        assert outcome.added.notifications == (draft().stored(1),)
        assert not outcome.repeated

    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    @pytest.mark.parametrize("order", ORDERS, ids=str)
    def test_the_highest_stands_in_every_order(
        self, inbox: Inbox, order: Sequence[int], together: bool
    ) -> None:
        revisions = [draft(1, "first"), edit("second", 1), edit("third", 7)]
        arrivals = [revisions[place] for place in order]
        for batch in [arrivals] if together else [[arrival] for arrival in arrivals]:
            inbox.take(*batch)

        assert (inbox.shown, inbox.item(1).revision, inbox.feed.unread_count) == (["third"], 7, 1)
        assert inbox.take(*revisions).repeated
        assert inbox.shown == ["third"]

    @pytest.mark.parametrize("revision", [0, 4, 5])
    def test_no_higher_one_changes_nothing(self, inbox: Inbox, revision: int) -> None:
        inbox.take(edit("first", 5))

        outcome = inbox.take(edit("again", revision))

        assert (outcome.repeated, inbox.shown, inbox.feed.version) == (True, ["first"], 1)

    def test_an_edit_leaves_what_the_user_did(self, inbox: Inbox) -> None:
        inbox.take(draft())
        inbox.mark(READ, 1)
        inbox.mark(ARCHIVED, 1)

        inbox.take(edit(), now=LATER)

        item = inbox.item(1)
        assert (item.message, item.read_at, item.archived_at, item.edited_at) == ("edited", NOW, NOW, LATER)

    def test_an_edit_may_make_it_unread_and_unseen_again(self, inbox: Inbox) -> None:
        inbox.take(draft())
        inbox.mark(READ, 1)

        inbox.take(edit(unread=True))

        assert (inbox.feed.unread_count, inbox.feed.unseen_count) == (1, 1)

    def test_an_edit_in_the_same_batch_is_no_edit_for_the_user(self, inbox: Inbox) -> None:
        outcome = inbox.take(draft(), edit())

        assert (outcome.edited, inbox.shown, inbox.item(1).edited_at) == (None, ["edited"], None)

    def test_event_and_category_stay(self, inbox: Inbox) -> None:
        inbox.take(draft(category="a"))

        inbox.take(edit(category="b", event="other.event"))

        assert (inbox.item(1).category, inbox.item(1).event) == ("a", "comment.created")


class TestRetractions:
    def test_what_is_there_leaves_every_view(self, inbox: Inbox) -> None:
        inbox.take(draft())

        outcome = inbox.take(take_back())

        assert outcome.retracted is not None
        assert outcome.retracted.ids == (an_id(1),)
        assert (inbox.shown, inbox.feed.unread_count, inbox.withheld) == ([], 0, {})

    def test_what_comes_after_its_retraction_is_withheld(self, inbox: Inbox) -> None:
        recorded = inbox.take(take_back())
        outcome = inbox.take(draft(), edit())

        assert recorded.feed.version == outcome.feed.version == 0
        assert inbox.withheld == {an_id(1): Reason.RETRACTED}
        assert (outcome.repeated, inbox.held) == (True, {})

    def test_twice_is_once(self, inbox: Inbox) -> None:
        inbox.take(draft())
        inbox.take(take_back(), take_back())

        outcome = inbox.take(take_back())

        assert (outcome.repeated, outcome.retracted, inbox.feed.version) == (True, None, 2)

    def test_in_the_batch_of_the_original_it_is_withheld(self, inbox: Inbox) -> None:
        outcome = inbox.take(draft(), edit(), take_back(), draft())

        (withheld,) = outcome.withheld
        assert (withheld.reason, withheld.event, withheld.category) == (
            Reason.RETRACTED,
            "comment.created",
            "comment",
        )
        assert (inbox.held, inbox.feed.version) == ({}, 0)

    @pytest.mark.parametrize("order", ORDERS, ids=str)
    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    def test_nothing_is_shown_whatever_the_order(
        self, inbox: Inbox, order: Sequence[int], together: bool
    ) -> None:
        all_of_it: list[Arrival] = [draft(), edit(), take_back()]
        arrivals = [all_of_it[place] for place in order]
        for batch in [arrivals] if together else [[arrival] for arrival in arrivals]:
            inbox.take(*batch)

        assert (inbox.shown, inbox.feed.unread_count) == ([], 0)
        version = inbox.feed.version
        assert inbox.take(*all_of_it).repeated
        assert inbox.feed.version == version

    def test_an_edit_in_the_batch_of_the_retraction_is_not_told(self, inbox: Inbox) -> None:
        inbox.take(draft())

        outcome = inbox.take(edit(), take_back())

        assert outcome.edited is None
        assert outcome.retracted is not None
        assert outcome.retracted.notifications == (draft().stored(1).marked(RETRACTED, NOW, 2),)


class TestOwnOnly:
    @pytest.fixture(params=[False, True], ids=["stored", "in the same batch"])
    def sent(self, request: pytest.FixtureRequest, inbox: Inbox) -> Sequence[Arrival]:
        """What key `a` sent; it comes first in the batch, or is there already."""
        original = draft(key="a")
        if request.param:
            return [original]
        inbox.take(original)
        return []

    @pytest.mark.parametrize(
        "arrival",
        [edit(key="b", own_only=True), take_back(key="b", own_only=True)],
        ids=["edit", "retraction"],
    )
    def test_another_key_changes_nothing(
        self, inbox: Inbox, sent: Sequence[Arrival], arrival: Arrival
    ) -> None:
        outcome = inbox.take(*sent, arrival)

        assert (outcome.foreign, inbox.shown, inbox.withheld) == ([arrival], ["one"], {})

    def test_the_same_key_changes_it(self, inbox: Inbox, sent: Sequence[Arrival]) -> None:
        inbox.take(*sent, edit(key="a", own_only=True))
        assert inbox.shown == ["edited"]
        inbox.take(take_back(key="a", own_only=True))
        assert inbox.shown == []

    def test_a_key_that_is_not_limited_changes_it(self, inbox: Inbox, sent: Sequence[Arrival]) -> None:
        assert not inbox.take(*sent, edit(key="b")).foreign
        assert inbox.shown == ["edited"]

    def test_what_would_change_nothing_is_a_repetition(self, inbox: Inbox, sent: Sequence[Arrival]) -> None:
        outcome = inbox.take(*sent, draft(key="b", own_only=True))

        assert (outcome.foreign, outcome.repeated) == ([], True)

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize(("key", "shown"), [("a", 1), ("b", 2)])
    def test_what_it_sends_becomes_one_only_with_its_own(
        self, inbox: Inbox, key: str, shown: int, together: bool
    ) -> None:
        """Or it could take back what another key sent, by its collapse key."""
        first, second = draft(1, key="a"), draft(2, key=key, own_only=True)
        arrivals = [
            replace(one, content=replace(one.content, collapse_key="post:7")) for one in (first, second)
        ]
        for batch in [arrivals] if together else [[one] for one in arrivals]:
            inbox.take(*batch)

        assert len(inbox.shown) == shown


class TestPreferences:
    @pytest.mark.parametrize(
        ("category", "chosen", "shown"),
        [
            (None, None, True),
            (None, False, False),
            (None, True, True),
            (Category(id="comment", default_on=False), None, False),
            (Category(id="comment", default_on=False), True, True),
            (Category(id="comment", mandatory=True), False, True),
            (Category(id="comment", mandatory=True, default_on=False), None, True),
        ],
    )
    def test_what_the_user_wants_is_shown(
        self, inbox: Inbox, category: Category | None, chosen: bool | None, shown: bool
    ) -> None:
        inbox.categories = {} if category is None else {"comment": category}
        inbox.choices = {} if chosen is None else {"comment": chosen, "other": not chosen}

        inbox.take(draft())

        assert bool(inbox.shown) is shown
        assert inbox.withheld == ({} if shown else {an_id(1): Reason.PREFERENCE})
        assert inbox.feed.version == int(shown)

    def test_what_was_withheld_stays_so_after_another_choice(self, inbox: Inbox) -> None:
        inbox.choices = {"comment": False}
        inbox.take(draft())
        inbox.choices = {"comment": True}

        assert inbox.take(draft(), edit()).repeated

        assert (inbox.held, inbox.feed.version) == ({}, 0)

    def test_what_was_stored_stays_so_after_another_choice(self, inbox: Inbox) -> None:
        inbox.take(draft())
        inbox.choices = {"comment": False}

        inbox.take(draft(), edit())

        assert (inbox.shown, inbox.withheld) == (["edited"], {})

    def test_what_is_not_wanted_takes_the_place_of_nothing(self, inbox: Inbox) -> None:
        inbox.take(like(1))
        inbox.choices = {"comment": False}

        inbox.take(like(2))

        assert (inbox.shown, inbox.item(1).group.count) == (["like 1"], 1)


class TestExpiry:
    @pytest.mark.parametrize(("after", "shown"), [(-1, False), (0, False), (1, True)])
    def test_what_expired_before_it_came_is_withheld(self, inbox: Inbox, after: int, shown: bool) -> None:
        inbox.take(draft(expires_at=NOW + timedelta(microseconds=after)))

        assert bool(inbox.shown) is shown
        assert inbox.withheld == ({} if shown else {an_id(1): Reason.EXPIRED})

    def test_a_category_says_when_its_notifications_expire(self, inbox: Inbox) -> None:
        inbox.categories = {"comment": Category(id="comment", expires_after=timedelta(days=1))}

        inbox.take(draft(1), draft(2, expires_at=LATER))
        inbox.take(draft(3), now=NOW + timedelta(days=1))

        assert inbox.item(1).expires_at == NOW + timedelta(days=1)
        assert inbox.item(2).expires_at == LATER
        assert inbox.withheld == {an_id(3): Reason.EXPIRED}

    @pytest.mark.parametrize("order", ORDERS, ids=str)
    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    def test_that_holds_for_edits_in_every_order(
        self, inbox: Inbox, order: Sequence[int], together: bool
    ) -> None:
        revisions = [draft(), edit(), edit("last", 2)]
        arrivals = [revisions[place] for place in order]
        inbox.categories = {"comment": Category(id="comment", expires_after=timedelta(days=1))}
        for batch in [arrivals] if together else [[arrival] for arrival in arrivals]:
            inbox.take(*batch)

        assert (inbox.shown, inbox.item(1).expires_at) == (["last"], NOW + timedelta(days=1))

    @pytest.mark.parametrize("order", ORDERS, ids=str)
    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    @pytest.mark.parametrize("last", [LATER, NOW], ids=["good", "expired"])
    def test_the_highest_revision_says_whether_it_had_expired(
        self, inbox: Inbox, order: Sequence[int], together: bool, last: datetime
    ) -> None:
        middle = {LATER: NOW, NOW: LATER}[last]
        revisions = [draft(expires_at=NOW), edit(expires_at=middle), edit("last", 2, expires_at=last)]
        arrivals = [revisions[place] for place in order]
        for batch in [arrivals] if together else [[arrival] for arrival in arrivals]:
            inbox.take(*batch)

        # What was stored before its last revision came is retracted when it is due, which is now.
        assert {item.expires_at for item in inbox.held.values()} <= {last}
        if last == LATER:
            assert (inbox.shown, inbox.withheld) == (["last"], {})
        assert inbox.take(*arrivals).repeated

    @pytest.mark.parametrize("order", ORDERS, ids=str)
    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    def test_what_was_retracted_does_not_come_back_with_an_edit(
        self, inbox: Inbox, order: Sequence[int], together: bool
    ) -> None:
        all_of_it: list[Arrival] = [draft(expires_at=NOW), edit(expires_at=LATER), take_back()]
        arrivals = [all_of_it[place] for place in order]
        for batch in [arrivals] if together else [[arrival] for arrival in arrivals]:
            inbox.take(*batch)

        assert inbox.shown == []

    def test_what_comes_back_is_new_and_joins_its_group(self, inbox: Inbox) -> None:
        inbox.take(like(1, "Ada"), replace(like(2, "Bob"), content=replace(like(2).content, expires_at=NOW)))

        outcome = inbox.take(replace(like(2, "Bob"), revision=1))

        assert outcome.added is not None
        assert (outcome.returned, inbox.item(2).group.count, inbox.withheld) == ([an_id(2)], 2, {})

    def test_what_comes_back_may_be_unwanted(self, inbox: Inbox) -> None:
        inbox.take(draft(expires_at=NOW))
        inbox.choices = {"comment": False}

        inbox.take(edit(expires_at=LATER))

        assert inbox.withheld == {an_id(1): Reason.PREFERENCE}

    def test_an_edit_says_when_it_expires_instead(self, inbox: Inbox) -> None:
        inbox.take(draft(expires_at=LATER))
        inbox.take(edit())

        assert inbox.item(1).expires_at is None


class TestCollapsing:
    def test_the_next_one_takes_the_place_of_the_last(self, inbox: Inbox) -> None:
        inbox.take(like(1, "Ada"))

        outcome = inbox.take(like(2, "Bob"))

        assert outcome.retracted is not None
        assert outcome.retracted.ids == (an_id(1),)
        assert (inbox.shown, inbox.feed.unread_count, inbox.feed.version) == (["like 2"], 1, 3)
        assert (inbox.item(2).group.count, names(inbox.item(2))) == (2, ["Bob", "Ada"])

    @pytest.mark.parametrize("count", [2, 3, 10])
    def test_of_one_batch_the_newest_is_stored_and_the_others_are_recorded(
        self, inbox: Inbox, count: int
    ) -> None:
        likes = [like(n, f"user {n}") for n in range(1, count + 1)]

        inbox.take(*likes)

        assert (inbox.shown, inbox.feed.version) == ([f"like {count}"], 1)
        assert inbox.withheld == dict.fromkeys(map(an_id, range(1, count)), Reason.SUPERSEDED)
        assert inbox.item(count).group.count == count

    @pytest.mark.parametrize("order", ORDERS, ids=str)
    @pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
    def test_the_newest_stands_for_all_in_every_order(
        self, inbox: Inbox, order: Sequence[int], together: bool
    ) -> None:
        likes = [like(n + 1, f"user {n}") for n in order]
        for batch in [likes] if together else [[one] for one in likes]:
            inbox.take(*batch)

        group = inbox.item(3).group
        assert (inbox.shown, group.count, group.actor_count) == (["like 3"], 3, 3)
        version = inbox.feed.version
        assert inbox.take(*likes).repeated
        assert (inbox.feed.version, inbox.item(3).group) == (version, group)

    def test_a_late_one_is_counted_and_the_newest_stays(self, inbox: Inbox) -> None:
        inbox.take(like(2, "Bob"))
        inbox.mark(Mark.SEEN, 2)

        outcome = inbox.take(like(1, "Ada"), now=LATER)

        assert outcome.edited is not None
        assert inbox.withheld == {an_id(1): Reason.SUPERSEDED}
        assert (inbox.shown, inbox.item(2).group.count, names(inbox.item(2))) == (
            ["like 2"],
            2,
            ["Bob", "Ada"],
        )
        assert inbox.item(2).seen_at == NOW

    @pytest.mark.parametrize(("collapse", "shown"), [("unread", 2), ("always", 1)])
    def test_what_was_read_is_joined_only_always(self, inbox: Inbox, collapse: str, shown: int) -> None:
        inbox.take(like(1))
        inbox.mark(READ, 1)

        inbox.take(like(2, collapse=collapse))

        assert len(inbox.shown) == shown
        assert (inbox.item(2).group.count, inbox.feed.unread_count) == (3 - shown, 1)

    @pytest.mark.parametrize("mark", [ARCHIVED, RETRACTED])
    @pytest.mark.parametrize("collapse", ["unread", "always"])
    def test_what_was_put_away_is_not_joined(self, inbox: Inbox, mark: Mark, collapse: str) -> None:
        inbox.take(like(1))
        inbox.mark(mark, 1)

        inbox.take(like(2, collapse=collapse))

        assert (inbox.shown, inbox.item(2).group.count) == (["like 2"], 1)

    def test_below_a_newer_one_that_was_read_an_unread_one_is_joined(self, inbox: Inbox) -> None:
        inbox.take(like(1))
        inbox.mark(READ, 1)
        inbox.take(like(2))
        inbox.mark(READ, 2)
        inbox.mark(Mark.UNREAD, 1)

        inbox.take(like(3))

        assert inbox.shown == ["like 3", "like 2"]

    @pytest.mark.parametrize(("ago", "shown"), [(-timedelta(seconds=1), 1), (timedelta(0), 2)])
    def test_after_a_month_a_group_is_closed(self, inbox: Inbox, ago: timedelta, shown: int) -> None:
        inbox.take(like(1))

        inbox.take(like(2), now=NOW + OPEN_FOR + ago)

        assert len(inbox.shown) == shown

    def test_other_keys_are_other_groups(self, inbox: Inbox) -> None:
        inbox.take(like(1), draft(2, "two"), draft(3, "three", collapse_key="page"))

        assert (inbox.shown, inbox.withheld) == (["three", "two", "like 1"], {})

    def test_an_edit_belongs_to_the_one_that_it_edits(self, inbox: Inbox) -> None:
        inbox.take(like(1, "Ada"), like(2, "Bob"))

        inbox.take(like(2, "Cyd", revision=1))

        assert (inbox.item(2).group.count, names(inbox.item(2))) == (2, ["Bob", "Ada"])

    def test_an_edit_of_one_whose_place_was_taken_changes_nothing(self, inbox: Inbox) -> None:
        inbox.take(like(1))
        inbox.take(like(2))

        assert inbox.take(like(1, revision=1)).repeated

        assert inbox.shown == ["like 2"]

    def test_taking_the_newest_back_takes_the_group_back(self, inbox: Inbox) -> None:
        inbox.take(like(1))
        inbox.take(like(2), take_back(2), like(3))

        assert (inbox.shown, inbox.item(3).group.count) == (["like 3"], 1)
        assert inbox.withheld == {an_id(2): Reason.RETRACTED}
