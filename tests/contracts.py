"""What each port promises, as tests. They run on the ports in memory (tests/unit/test_memory.py) and on the
real adapters (tests/integration), so that what a unit test relies on is what production does.

A class here is no test by itself: a subclass brings the fixtures that its methods ask for.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import product
from traceback import format_exception
from typing import Any, Protocol

import pytest

from application.audit import THE_SERVICE, Action, Entry
from application.credentials import ApiKey, Claims, Revocation, RevokedToken
from application.directory import Put, UserSearch
from application.errors import KeyReused, NotAuthenticated, Unavailable
from application.feeds import Appended, FeedHistory, MarkRequest, Spot, Standing
from application.pages import IndexEntry, Missing, Rendered, RenderedPage
from application.ports import (
    Alarms,
    Announcer,
    ApiKeys,
    Categories,
    Feeds,
    IdempotencyKeys,
    LiveFeed,
    MissingUsers,
    NotificationQueue,
    Passwords,
    Preferences,
    Retention,
    RevokedTokens,
    Stage,
    Stages,
    TextForms,
    Tickets,
    Tokens,
    UnreadIndex,
    UserDirectory,
    Users,
)
from application.streams import Frame
from common import wire
from domain import rich
from domain.alarm import AlarmKind
from domain.category import CATEGORIES, CHOICES, OTHER, Category
from domain.errors import Invalid, UnknownNotification, UnknownUser, UserTaken
from domain.feed import MARK_LIMIT, Added, Chosen, Cursor, Feed, FeedChange, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.metadata import NO_METADATA
from domain.notification import Draft, Notification
from domain.states import RULES, Mark, Status
from domain.user import User
from tests.build import (
    ADA,
    BOB,
    LATER,
    NOW,
    a_draft,
    a_feed,
    a_metadata,
    a_notification,
    a_user,
    an_id,
    drafts,
    told_counts,
)
from tests.memory import Mailbox, following
from tests.product import eventually
from tests.states import changeable, effect_of

NOBODY = UserId("nobody")

# What producers send, and encodings, number formats and collations like to change.
AWKWARD_TEXT = "ÅÅ ñ ﷽ 👩‍👩‍👧 \u202eabc\u2028 \\u0000 '; DROP TABLE feeds; -- %s $1 {} \t\r\n"
AWKWARD_METADATA: dict[str, Any] = {
    "text": AWKWARD_TEXT,
    "": "the empty key",
    "largest": 2**64 - 1,
    "lowest": -(2**63),
    "precise": 0.1 + 0.2,
    "whole": 1.0,
    "large": 1e15,
    "small": 5e-324,
    "yes": True,
    "nothing": None,
    "nested": [{"a": [[], {}, [None]]}],
}


def versions(notifications: Iterable[Notification]) -> list[int]:
    return [item.version for item in notifications]


def ids(notifications: Iterable[Notification]) -> list[NotificationId]:
    return [item.id for item in notifications]


async def history_of(feeds: Feeds, user: UserId, after: int, limit: int) -> FeedHistory:
    """The history of one feed."""
    (found,) = await feeds.histories([(user, after)], limit)
    assert found is not None
    return found


async def everything(feeds: Feeds, user: UserId = ADA) -> Sequence[Notification]:
    """All of a feed in version order, after checking that its version and counts are true for it."""
    found = await history_of(feeds, user, 0, 10_000)
    assert not found.more
    check_counts(found.feed, found.notifications)
    assert all(0 < version <= found.feed.version for version in versions(found.notifications))
    return found.notifications


def check_counts(feed: Feed, notifications: Iterable[Notification]) -> None:
    """Check that the counts of a feed are true for its notifications."""
    unread = [item for item in notifications if item.unread]
    assert feed.unread_count == len(unread) == sum(feed.unread_in.values())
    assert feed.unread_in == dict(Counter(item.category for item in unread))
    assert feed.unseen_count == sum(item.seen_at is None for item in unread)


async def mark_up_to(
    feeds: Feeds,
    mark: Mark,
    version: int,
    at: datetime,
    user: UserId = ADA,
    *,
    category: str | None = None,
) -> Marked:
    """Mark up to a version of the feed's present life."""
    cursor = Cursor((await feeds.feed(user)).epoch, version)
    return await feeds.mark_up_to(user, mark, cursor, at, category=category)


class FeedsContract:
    """Needs `feeds`, and `users` of the same store."""

    @pytest.fixture(autouse=True)
    async def known_users(self, users: Users) -> None:
        await users.add(a_user(ADA), None)
        await users.add(a_user(BOB), None)

    # --- empty ---

    async def test_a_new_feed_is_empty_at_version_zero(self, feeds: Feeds) -> None:
        feed = await feeds.feed(ADA)

        assert (feed.user_id, feed.version, feed.unread_count) == (ADA, 0, 0)
        assert (await feeds.page(ADA, Status.ALL, limit=10)).notifications == ()
        assert (await history_of(feeds, ADA, 0, 10)).notifications == ()

    async def test_the_epoch_of_a_feed_fits_a_cursor_and_stays(self, feeds: Feeds) -> None:
        before = await feeds.feed(ADA)
        await feeds.append([a_draft()])

        after = await feeds.feed(ADA)

        assert before.epoch == after.epoch
        assert type(after.cursor).parse(str(after.cursor)) == after.cursor

    async def test_nothing_appended_changes_nothing(self, feeds: Feeds) -> None:
        assert await feeds.append([]) == Appended()

    @pytest.mark.parametrize(
        "ask",
        [
            lambda feeds: feeds.feed(NOBODY),
            lambda feeds: feeds.page(NOBODY, Status.ALL, limit=1),
            lambda feeds: feeds.mark(NOBODY, Mark.READ, [an_id()], NOW),
            lambda feeds: feeds.mark_up_to(NOBODY, Mark.READ, Cursor("e1", 1), NOW),
        ],
        ids=["feed", "page", "mark", "mark_up_to"],
    )
    async def test_a_user_who_does_not_exist_has_no_feed(
        self, feeds: Feeds, ask: Callable[[Feeds], Any]
    ) -> None:
        with pytest.raises(UnknownUser):
            await ask(feeds)

    # --- what is stored ---

    async def test_every_field_comes_back_as_it_was(self, feeds: Feeds) -> None:
        draft = a_draft(
            title=AWKWARD_TEXT[:200],
            message=AWKWARD_TEXT,
            metadata=AWKWARD_METADATA,
            action_url="https://example.com/ä?q=%00#✓",
            expires_at=NOW + timedelta(days=400, microseconds=1),
        )

        (added,) = (await feeds.append([draft])).added

        expected = draft.stored(1)
        assert added.notifications == (expected,)
        assert await feeds.get(ADA, draft.id) == expected
        assert (await feeds.page(ADA, Status.UNREAD, limit=1)).notifications == (expected,)
        assert (await history_of(feeds, ADA, 0, 1)).notifications == (expected,)

    async def test_what_a_mark_returns_is_what_is_stored(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(metadata=AWKWARD_METADATA, expires_at=LATER)])

        marked = await feeds.mark(ADA, Mark.READ, [an_id()], LATER)

        assert marked.notifications == (await feeds.get(ADA, an_id()),)
        assert marked.notifications[0].metadata == a_metadata(AWKWARD_METADATA)

    async def test_optional_fields_may_be_missing(self, feeds: Feeds) -> None:
        await feeds.append([a_draft()])

        stored = await feeds.get(ADA, an_id())

        assert (stored.title, stored.action_url, stored.expires_at) == (None, None, None)
        assert stored.metadata == NO_METADATA

    async def test_times_keep_their_instant_and_are_told_in_utc(self, feeds: Feeds) -> None:
        kathmandu = timezone(timedelta(hours=5, minutes=45))
        draft = a_draft(at=NOW.astimezone(kathmandu), expires_at=LATER.astimezone(kathmandu))
        (added,) = (await feeds.append([draft])).added

        stored = await feeds.get(ADA, an_id())

        assert (stored.created_at, stored.expires_at) == (NOW, LATER)
        for told in (stored, added.notifications[0]):
            assert wire.render(told) == wire.render(a_notification(version=1, expires_at=LATER))

    async def test_a_feed_spans_months(self, feeds: Feeds) -> None:
        months = [datetime(year, month, 28, tzinfo=UTC) for year in (2025, 2026) for month in (1, 6, 12)]
        await feeds.append([a_draft(1, at=month) for month in months])

        page = await feeds.page(ADA, Status.ALL, limit=10)

        assert [item.created_at for item in page.notifications] == months[::-1]

    # --- versions ---

    async def test_versions_follow_the_order_of_the_drafts(self, feeds: Feeds) -> None:
        wanted = [an_id(3), an_id(1), an_id(2)]

        (added,) = (await feeds.append([a_draft(3), a_draft(1), a_draft(2)])).added

        assert ids(added.notifications) == wanted
        assert versions(added.notifications) == [1, 2, 3]
        assert (added.prev, added.feed.version, added.feed.unread_count) == (0, 3, 3)
        assert ids(await everything(feeds)) == wanted

    async def test_versions_go_on_without_a_hole(self, feeds: Feeds) -> None:
        await feeds.append(drafts(2))
        await feeds.mark(ADA, Mark.READ, [an_id(1)], NOW)

        (added,) = (await feeds.append(drafts(2, first=3))).added

        assert (added.prev, versions(added.notifications)) == (3, [4, 5])

    async def test_a_batch_for_many_gives_each_feed_one_change(self, feeds: Feeds) -> None:
        batch = [a_draft(1), a_draft(2, BOB), a_draft(3), a_draft(4, BOB)]

        appended = await feeds.append(batch)

        by_user = {change.feed.user_id: change for change in appended.added}
        assert by_user.keys() == {ADA, BOB}
        assert ids(by_user[ADA].notifications) == [an_id(1), an_id(3)]
        assert ids(by_user[BOB].notifications) == [an_id(2), an_id(4)]
        assert all(versions(change.notifications) == [1, 2] for change in appended.added)

    async def test_one_id_may_be_in_two_feeds(self, feeds: Feeds) -> None:
        appended = await feeds.append([a_draft(1), a_draft(1, BOB, message="another")])

        assert len(appended.added) == 2
        assert (await feeds.get(ADA, an_id())).message != (await feeds.get(BOB, an_id())).message

    # --- again ---

    async def test_a_redelivered_batch_changes_nothing_and_is_reported(self, feeds: Feeds) -> None:
        batch = [*drafts(3), *drafts(2, BOB)]
        await feeds.append(batch)
        before = [*await everything(feeds), *await everything(feeds, BOB)]

        again = await feeds.append(batch)

        assert again.added == ()
        assert {change.feed.user_id: change.feed.version for change in again.present} == {ADA: 3, BOB: 2}
        assert [*await everything(feeds), *await everything(feeds, BOB)] == before

    async def test_a_redelivered_draft_does_not_turn_read_into_unread(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))
        await feeds.mark(ADA, Mark.READ, [an_id()], LATER)

        await feeds.append([a_draft(message="another text")])

        stored = await feeds.get(ADA, an_id())
        assert (stored.read_at, stored.message) == (LATER, "message 1")

    async def test_a_partly_redelivered_batch_stores_the_rest(self, feeds: Feeds) -> None:
        await feeds.append(drafts(2))

        appended = await feeds.append(drafts(4))

        (added,), (present,) = appended.added, appended.present
        assert ids(added.notifications) == [an_id(3), an_id(4)]
        assert (added.prev, versions(added.notifications)) == (2, [3, 4])
        # A follower has everything before this batch, or has missed something: both can continue from here.
        assert present.feed.version == added.prev

    async def test_a_duplicate_inside_a_batch_is_stored_once_as_it_came_first(self, feeds: Feeds) -> None:
        appended = await feeds.append([a_draft(1, message="first"), a_draft(2), a_draft(1, message="second")])

        assert versions(appended.added[0].notifications) == [1, 2]
        assert (await feeds.feed(ADA)).unread_count == 2
        assert (await feeds.get(ADA, an_id(1))).message == "first"

    async def test_drafts_for_unknown_users_are_handed_back_and_others_stored(self, feeds: Feeds) -> None:
        stranger, stranger_too = a_draft(1, NOBODY), a_draft(2, UserId("no.one"))

        appended = await feeds.append([stranger, a_draft(3), stranger_too])

        assert sorted(appended.unknown, key=lambda draft: draft.id) == [stranger, stranger_too]
        assert ids(await everything(feeds)) == [an_id(3)]

    # --- marks ---

    @pytest.mark.parametrize("mark", list(Mark))
    @pytest.mark.parametrize("by", ["ids", "up_to"])
    async def test_a_mark_sets_its_time_and_moves_a_notification_to_its_views(
        self, feeds: Feeds, mark: Mark, by: str
    ) -> None:
        does = effect_of(mark)
        await feeds.append(drafts(2))
        for other in does.first:
            await feeds.mark(ADA, other, [an_id(1)], NOW)
        before = await everything(feeds)

        if by == "ids":
            marked = await feeds.mark(ADA, mark, [an_id(1)], LATER)
        else:  # what is newer stays
            await feeds.mark(ADA, Mark.ARCHIVED, [an_id(2)], NOW)
            await feeds.mark(ADA, Mark.UNARCHIVED, [an_id(2)], NOW)
            version = max(item.version for item in before if item.id == an_id(1))
            marked = await mark_up_to(feeds, mark, version, LATER)

        after = {item.id: item for item in await everything(feeds)}
        (was,) = (item for item in before if item.id == an_id(1))
        sets = does.times(was, LATER)
        assert after[an_id(1)] == replace(was, **sets, version=marked.feed.version)
        assert (marked.changed, marked.set) == (1, {does.field: sets[does.field]})
        assert marked.feed.unread_count == 1 + does.unread
        assert marked.feed.unseen_count == sum(item.unseen for item in after.values())
        assert after[an_id(1)].unseen == does.unseen
        shown = {
            status
            for status in Status
            if an_id(1) in ids((await feeds.page(ADA, status, limit=9)).notifications)
        }
        assert shown == does.views

    async def test_the_counts_are_exact_after_any_two_marks(self, feeds: Feeds) -> None:
        pairs = list(product(Mark, repeat=2))
        await feeds.append([a_draft(n, category=f"c{n % 2}") for n in range(1, len(pairs) + 1)])

        for number, pair in enumerate(pairs, 1):
            for mark in pair:
                marked = await feeds.mark(ADA, mark, [an_id(number)], LATER)
                assert marked.feed == await feeds.feed(ADA)
                check_counts(marked.feed, await everything(feeds))
                page = await feeds.page(ADA, Status.UNREAD, limit=100)
                assert marked.feed.unread_count == len(page.notifications), pair

    async def test_the_counts_are_exact_after_any_three_marks(self, feeds: Feeds) -> None:
        """Each goes through three marks of its own. Those with the same one are marked together."""
        triples = dict(enumerate(product(Mark, repeat=3), 1))
        await feeds.append([a_draft(n, category=f"c{n % 2}") for n in triples])
        expected = {n: a_draft(n, category=f"c{n % 2}").stored(n) for n in triples}

        for step, mark in product(range(3), Mark):
            due = [n for n, marks in triples.items() if marks[step] is mark]
            at = LATER + timedelta(seconds=step)
            marked = await feeds.mark(ADA, mark, [an_id(n) for n in due], at)
            for n in due:
                expected[n] = expected[n].marked(mark, at, 0)
            check_counts(marked.feed, expected.values())
            assert marked.feed == await feeds.feed(ADA)

        assert {item.id: replace(item, version=0) for item in await everything(feeds)} == {
            item.id: replace(item, version=0) for item in expected.values()
        }

    async def test_unarchiving_gives_a_category_its_count_back(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(1, category="comment"), a_draft(2, category="billing")])

        archived = await feeds.mark(ADA, Mark.ARCHIVED, [an_id(1)], LATER)
        back = await feeds.mark(ADA, Mark.UNARCHIVED, [an_id(1)], LATER)

        assert dict(archived.feed.unread_in) == {"billing": 1}
        assert dict(back.feed.unread_in) == {"billing": 1, "comment": 1}
        assert await feeds.feed(ADA) == back.feed

    # --- seen ---

    async def test_what_is_new_is_seen_once_in_its_life(self, feeds: Feeds) -> None:
        await feeds.append(drafts(2))

        first = await mark_up_to(feeds, Mark.SEEN, 2, NOW)
        again = await mark_up_to(feeds, Mark.SEEN, first.feed.version, LATER)
        for mark in (Mark.READ, Mark.UNREAD, Mark.ARCHIVED, Mark.UNARCHIVED):
            await feeds.mark(ADA, mark, [an_id(1)], LATER)
        last = await mark_up_to(feeds, Mark.SEEN, 99, LATER)

        assert (first.changed, first.ids) == (2, (an_id(1), an_id(2)))
        assert (first.feed.unread_count, first.feed.unseen_count) == (2, 0)
        assert (again.changed, again.feed, again.ids) == (0, first.feed, ())
        assert (last.changed, last.feed) == (0, await feeds.feed(ADA))
        assert [item.seen_at for item in await everything(feeds)] == [NOW, NOW]

    async def test_what_came_late_is_unseen_although_it_is_dated_earlier(self, feeds: Feeds) -> None:
        """A position says what the user had before the eyes, and no time does."""
        await feeds.append([a_draft(1, at=LATER)])
        opened = (await feeds.feed(ADA)).version
        await feeds.append([a_draft(2, at=NOW)])

        marked = await mark_up_to(feeds, Mark.SEEN, opened, LATER)

        assert marked.ids == (an_id(1, LATER),)
        assert (marked.feed.unread_count, marked.feed.unseen_count) == (2, 1)

    @pytest.mark.parametrize("up_to", [1, 2, 3, 10**9])
    @pytest.mark.parametrize("category", [None, "a", "b"])
    async def test_an_opening_hides_nothing_that_is_still_unseen(
        self, feeds: Feeds, up_to: int, category: str | None
    ) -> None:
        """Whatever was marked seen before, and up to which position, a later opening finds the rest."""
        await feeds.append([a_draft(n, category="ab"[n % 2]) for n in (1, 2, 3, 6)])
        await feeds.mark(ADA, Mark.SNOOZED, [an_id(2)], LATER)
        await mark_up_to(feeds, Mark.SEEN, up_to, NOW, category=category)
        await feeds.append([a_draft(n, category="ab"[n % 2]) for n in (4, 5)])
        await feeds.mark(ADA, Mark.WOKEN, [an_id(2)], LATER)

        left = {item.id for item in await everything(feeds) if item.unseen}
        marked = await mark_up_to(feeds, Mark.SEEN, (await feeds.feed(ADA)).version, LATER)

        assert set(marked.ids) == left >= {an_id(2), an_id(4), an_id(5)}
        assert marked.feed.unseen_count == 0
        assert not any(item.unseen for item in await everything(feeds))

    async def test_openings_at_once_count_each_notification_once(self, feeds: Feeds) -> None:
        await feeds.append(drafts(20))

        made = await asyncio.gather(
            *(mark_up_to(feeds, Mark.SEEN, n, LATER) for n in (20, 10, 20, 5)),
            feeds.mark(ADA, Mark.READ, [an_id(n) for n in range(1, 11)], LATER),
        )

        assert sum(marked.changed for marked in made[:-1]) in range(10, 21)
        assert (await feeds.feed(ADA)).unseen_count == 0
        assert all(item.seen_at for item in await everything(feeds))

    # --- one category ---

    async def test_a_mark_of_a_category_spares_the_others(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(n, category="ab"[n % 2]) for n in range(1, 6)])

        marked = await mark_up_to(feeds, Mark.READ, 3, LATER, category="b")

        assert (marked.ids, marked.category, marked.up_to) == ((an_id(1), an_id(3)), "b", 3)
        assert dict(marked.feed.unread_in) == {"a": 2, "b": 1}
        assert (await mark_up_to(feeds, Mark.READ, 99, LATER, category="none")).changed == 0
        assert {item.id for item in await everything(feeds) if item.unread} == {an_id(n) for n in (2, 4, 5)}

    @pytest.mark.parametrize("mark", list(Mark))
    async def test_every_mark_can_be_made_of_a_category(self, feeds: Feeds, mark: Mark) -> None:
        await feeds.append([a_draft(n, category="ab"[n % 2]) for n in (1, 2)])
        for other in effect_of(mark).first:
            await feeds.mark(ADA, other, [an_id(1), an_id(2)], NOW)

        marked = await mark_up_to(feeds, mark, 99, LATER, category="a")

        assert marked.ids == (an_id(2),)
        assert marked.feed == await feeds.feed(ADA)
        check_counts(marked.feed, await everything(feeds))

    @pytest.mark.parametrize("category", [None, "comment"])
    @pytest.mark.parametrize("mark", [Mark.SEEN, Mark.READ])
    async def test_a_mark_lists_what_it_changed_unless_that_is_too_much(
        self, feeds: Feeds, mark: Mark, category: str | None
    ) -> None:
        await feeds.append([*drafts(MARK_LIMIT), *drafts(MARK_LIMIT + 1, BOB)])

        few = await mark_up_to(feeds, mark, 999, LATER, category=category)
        many = await mark_up_to(feeds, mark, 999, LATER, BOB, category=category)

        assert few.notifications == tuple(await everything(feeds))
        assert (many.changed, many.notifications, many.ids) == (MARK_LIMIT + 1, None, ())
        assert many.feed == await feeds.feed(BOB)

    async def test_a_page_may_be_of_some_categories(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(n, category="abc"[n % 3]) for n in range(1, 7)])
        await feeds.mark(ADA, Mark.READ, [an_id(3)], LATER)

        unread = await feeds.page(ADA, Status.UNREAD, limit=9, categories=["a"])
        everything_else = await feeds.page(ADA, Status.ALL, limit=3, categories=["b", "c", "d"])

        assert ids(unread.notifications) == [an_id(6)]
        assert ids(everything_else.notifications) == [an_id(5), an_id(4), an_id(2)]
        assert (unread.feed.unread_count, everything_else.more) == (5, True)

    # --- an action ---

    async def test_the_first_action_stays(self, feeds: Feeds) -> None:
        await feeds.append(drafts(2))

        first = await feeds.mark(ADA, Mark.ACTED, [an_id(1)], NOW, action="approve")
        second = await feeds.mark(ADA, Mark.ACTED, [an_id(1)], LATER, action="reject")

        stored = await feeds.get(ADA, an_id(1))
        assert (first.changed, first.action, first.notifications) == (1, "approve", (stored,))
        assert (second.changed, second.feed) == (0, first.feed)
        assert (stored.action, stored.acted_at, stored.read_at, stored.seen_at) == ("approve", NOW, NOW, NOW)
        assert (await feeds.get(ADA, an_id(2))).action is None

    async def test_users_who_act_together_each_choose_an_action(self, feeds: Feeds) -> None:
        await feeds.append([*drafts(2), *drafts(2, BOB)])

        made = await feeds.mark_together(
            Mark.ACTED,
            [MarkRequest(ADA, [an_id(1)], NOW, "approve"), MarkRequest(BOB, [an_id(2)], NOW, "reject")],
        )

        assert {user: marked.action for user, marked in made.items()} == {ADA: "approve", BOB: "reject"}
        assert (await feeds.get(ADA, an_id(1))).action == "approve"
        assert (await feeds.get(BOB, an_id(2))).action == "reject"

    # --- counts along the way ---

    @pytest.mark.parametrize(
        ("marks", "unread"),
        [
            ([], 1),
            ([Mark.READ], 0),
            ([Mark.READ, Mark.READ], 0),
            ([Mark.READ, Mark.UNREAD], 1),
            ([Mark.UNREAD], 1),
            ([Mark.ARCHIVED], 0),
            ([Mark.ARCHIVED, Mark.UNARCHIVED], 1),
            ([Mark.UNARCHIVED], 1),
            ([Mark.READ, Mark.ARCHIVED], 0),
            ([Mark.ARCHIVED, Mark.READ], 0),
            ([Mark.READ, Mark.ARCHIVED, Mark.UNREAD], 0),
            ([Mark.READ, Mark.ARCHIVED, Mark.UNARCHIVED], 0),
            ([Mark.READ, Mark.ARCHIVED, Mark.UNREAD, Mark.UNARCHIVED], 1),
            ([Mark.ARCHIVED, Mark.READ, Mark.UNARCHIVED, Mark.UNREAD], 1),
            ([Mark.RETRACTED], 0),
            ([Mark.READ, Mark.RETRACTED], 0),
            ([Mark.ARCHIVED, Mark.RETRACTED], 0),
            ([Mark.RETRACTED, Mark.READ, Mark.UNREAD, Mark.UNARCHIVED], 0),
        ],
        ids=lambda value: "+".join(value) if isinstance(value, list) else None,
    )
    @pytest.mark.parametrize("by", ["ids", "up_to"])
    async def test_the_unread_count_is_exact_after_every_mark(
        self, feeds: Feeds, marks: list[Mark], unread: int, by: str
    ) -> None:
        await feeds.append([a_draft(1), a_draft(2, BOB)])
        expected = a_draft(1).stored(1)
        for nth, mark in enumerate(marks):
            at = NOW + timedelta(seconds=nth)
            before = await feeds.feed(ADA)
            if by == "ids":
                marked = await feeds.mark(ADA, mark, [an_id(1)], at)
            else:
                marked = await feeds.mark_up_to(ADA, mark, before.cursor, at)
            if expected.retracted_at is None:
                expected = expected.marked(mark, at, before.version + 1)
            assert marked.prev == before.version
            assert marked.changed == max(0, expected.version - before.version)
            assert marked.feed == await feeds.feed(ADA)

        assert (await feeds.feed(ADA)).unread_count == unread
        assert list(await everything(feeds)) == [expected]
        assert (await feeds.feed(BOB)).version == 1

    async def test_a_mark_names_what_it_changed_in_version_order(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(3), a_draft(1), a_draft(2)])

        marked = await feeds.mark(ADA, Mark.READ, [an_id(2), an_id(3), an_id(1)], LATER)

        assert marked.notifications is not None
        assert versions(marked.notifications) == [4, 5, 6]
        assert marked.notifications == tuple(await everything(feeds))
        assert (marked.prev, marked.changed, marked.mark, marked.at) == (3, 3, Mark.READ, LATER)
        assert set(marked.ids) == {an_id(1), an_id(2), an_id(3)}
        assert (marked.feed.version, marked.feed.unread_count, marked.up_to) == (6, 0, None)

    async def test_a_mark_up_to_a_version_spares_what_is_newer(self, feeds: Feeds) -> None:
        await feeds.append(drafts(3))

        marked = await mark_up_to(feeds, Mark.READ, 2, LATER)

        assert (marked.prev, marked.changed, marked.up_to) == (3, 2, 2)
        assert marked.notifications == tuple([await feeds.get(ADA, an_id(n)) for n in (1, 2)])
        assert [item.read_at for item in await everything(feeds)] == [None, LATER, LATER]
        assert ids((await feeds.page(ADA, Status.UNREAD, limit=9)).notifications) == [an_id(3)]

    async def test_both_ways_of_marking_number_alike(self, feeds: Feeds) -> None:
        for user in (ADA, BOB):
            await feeds.append([a_draft(3, user), a_draft(1, user), a_draft(2, user)])

        await feeds.mark(ADA, Mark.READ, [an_id(3), an_id(2), an_id(1)], LATER)
        await mark_up_to(feeds, Mark.READ, 3, LATER, BOB)

        assert ids(await everything(feeds, ADA)) == ids(await everything(feeds, BOB))

    @pytest.mark.parametrize("version", [0, -1])
    async def test_a_mark_up_to_nothing_changes_nothing(self, feeds: Feeds, version: int) -> None:
        await feeds.append(drafts(1))

        marked = await mark_up_to(feeds, Mark.READ, version, LATER)

        assert (marked.changed, marked.feed.unread_count) == (0, 1)

    async def test_a_mark_up_to_the_future_marks_all(self, feeds: Feeds) -> None:
        await feeds.append(drafts(2))

        assert (await mark_up_to(feeds, Mark.READ, 10**18 - 1, LATER)).changed == 2

    async def test_a_mark_up_to_a_position_of_another_life_changes_nothing(self, feeds: Feeds) -> None:
        await feeds.append(drafts(2))
        feed = await feeds.feed(ADA)

        marked = await feeds.mark_up_to(ADA, Mark.READ, Cursor("another", 2), LATER)

        assert (marked.changed, marked.feed) == (0, feed)
        assert await feeds.feed(ADA) == feed

    async def test_the_first_read_wins(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))
        first = await feeds.mark(ADA, Mark.READ, [an_id()], NOW)

        second = await feeds.mark(ADA, Mark.READ, [an_id()], LATER)

        assert (second.changed, second.notifications, second.prev) == (0, (), 2)
        assert second.feed == first.feed
        assert (await feeds.get(ADA, an_id())).read_at == NOW

    async def test_ids_that_are_not_in_the_feed_are_skipped(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(1), a_draft(2, BOB)])

        marked = await feeds.mark(ADA, Mark.READ, [an_id(2), an_id(1), an_id(99)], LATER)

        assert marked.ids == (an_id(1),)
        assert (await feeds.get(BOB, an_id(2))).read_at is None
        assert (await feeds.feed(BOB)).version == 1

    async def test_an_id_given_twice_is_marked_once(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))

        assert (await feeds.mark(ADA, Mark.READ, [an_id(), an_id()], LATER)).changed == 1

    async def test_no_ids_mark_nothing(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))

        marked = await feeds.mark(ADA, Mark.READ, [], LATER)

        assert (marked.changed, marked.prev, marked.feed.unread_count) == (0, 1, 1)

    # --- marks of several users ---

    async def test_users_marked_together_are_each_marked_as_alone(self, feeds: Feeds) -> None:
        await feeds.append([*drafts(3), *drafts(4, BOB)])
        await feeds.mark(BOB, Mark.READ, [an_id(1)], NOW)
        requests = [
            MarkRequest(BOB, [an_id(4), an_id(2), an_id(1), an_id(4), an_id(99)], LATER),
            MarkRequest(ADA, [an_id(3)], NOW),
        ]

        made = await feeds.mark_together(Mark.READ, requests)

        ada, bob = made[ADA], made[BOB]
        assert (ada.prev, ada.changed, ada.ids, ada.mark, ada.at) == (3, 1, (an_id(3),), Mark.READ, NOW)
        assert (bob.prev, bob.changed, bob.ids, bob.at) == (5, 2, (an_id(2), an_id(4)), LATER)
        for user, marked, unread in ((ADA, ada, 2), (BOB, bob, 1)):
            assert marked.feed == await feeds.feed(user)
            assert (marked.feed.user_id, marked.feed.unread_count) == (user, unread)
            for item in marked.notifications or ():
                assert item == await feeds.get(user, item.id)
                assert item.read_at == marked.at

    @pytest.mark.parametrize("mark", Mark)
    async def test_every_mark_can_be_made_together(self, feeds: Feeds, mark: Mark) -> None:
        await feeds.append([*drafts(2), *drafts(2, BOB)])
        for user, other in product((ADA, BOB), effect_of(mark).first):
            await feeds.mark(user, other, [an_id(1)], NOW)

        made = await feeds.mark_together(mark, [MarkRequest(user, [an_id(1)], LATER) for user in (ADA, BOB)])

        assert {user: (marked.changed, dict(marked.set)) for user, marked in made.items()} == {
            user: (1, {RULES[mark].sets: RULES[mark].value(LATER)}) for user in (ADA, BOB)
        }
        for user, marked in made.items():
            assert marked.feed.unread_count == sum(item.unread for item in await everything(feeds, user))

    async def test_of_users_marked_together_the_unknown_are_left_out(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))

        requests = [MarkRequest(user, [an_id(1)], LATER) for user in (NOBODY, BOB, ADA)]
        made = await feeds.mark_together(Mark.READ, requests)

        assert {user: marked.changed for user, marked in made.items()} == {ADA: 1, BOB: 0}
        assert await feeds.mark_together(Mark.READ, requests[:1]) == {}

    async def test_no_ids_mark_nothing_together(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))

        made = await feeds.mark_together(Mark.READ, [MarkRequest(ADA, [], LATER)])

        assert (made[ADA].changed, made[ADA].feed) == (0, await feeds.feed(ADA))

    # --- looking ---

    @pytest.mark.parametrize("user", [ADA, BOB, NOBODY])
    async def test_a_notification_is_found_by_its_owner_alone(self, feeds: Feeds, user: UserId) -> None:
        await feeds.append(drafts(1))
        if user == ADA:
            assert (await feeds.get(user, an_id())).user_id == ADA
        else:
            with pytest.raises(UnknownNotification):
                await feeds.get(user, an_id())

    async def test_a_page_is_newest_first_by_id_not_by_version(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(2), a_draft(3), a_draft(1)])
        await feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

        page = await feeds.page(ADA, Status.ALL, limit=10)

        assert ids(page.notifications) == [an_id(3), an_id(2), an_id(1)]

    @pytest.mark.parametrize(
        ("limit", "found", "more"), [(0, 0, True), (1, 1, True), (2, 2, True), (3, 3, False), (4, 3, False)]
    )
    async def test_a_page_has_at_most_its_limit_and_says_whether_there_is_more(
        self, feeds: Feeds, limit: int, found: int, more: bool
    ) -> None:
        await feeds.append(drafts(3))

        page = await feeds.page(ADA, Status.UNREAD, limit=limit)

        assert (len(page.notifications), page.more) == (found, more)
        assert (page.feed.version, page.feed.unread_count) == (3, 3)

    async def test_pages_follow_each_other_without_overlap_or_hole(self, feeds: Feeds) -> None:
        await feeds.append(drafts(7))
        seen: list[NotificationId] = []
        before = None
        while True:
            page = await feeds.page(ADA, Status.UNREAD, limit=3, before=before)
            seen += ids(page.notifications)
            before = seen[-1]
            if not page.more:
                break

        assert seen == [an_id(n) for n in range(7, 0, -1)]

    async def test_a_page_before_an_id_that_is_gone_begins_where_it_was(self, feeds: Feeds) -> None:
        await feeds.append(drafts(3))
        await feeds.mark(ADA, Mark.READ, [an_id(2)], LATER)

        page = await feeds.page(ADA, Status.UNREAD, limit=9, before=an_id(2))

        assert ids(page.notifications) == [an_id(1)]

    @pytest.mark.parametrize("status", list(Status))
    async def test_a_view_shows_what_belongs_to_it(self, feeds: Feeds, status: Status) -> None:
        shown = {
            Status.UNREAD: [1],
            Status.READ: [2],
            Status.ALL: [2, 1],
            Status.ARCHIVED: [8, 4, 3],
            Status.SNOOZED: [7, 6],
        }
        await feeds.append(drafts(8))
        await feeds.mark(ADA, Mark.READ, [an_id(2), an_id(4)], LATER)
        await feeds.mark(ADA, Mark.ARCHIVED, [an_id(3), an_id(4)], LATER)
        await feeds.mark(ADA, Mark.READ, [an_id(7)], LATER)
        await feeds.mark(ADA, Mark.SNOOZED, [an_id(n) for n in (5, 6, 7, 8)], LATER)
        await feeds.mark(ADA, Mark.ARCHIVED, [an_id(8)], LATER)
        await feeds.mark(ADA, Mark.RETRACTED, [an_id(5)], LATER)

        page = await feeds.page(ADA, status, limit=10)

        assert ids(page.notifications) == [an_id(n) for n in shown[status]]
        assert all(item.within(status) for item in page.notifications)

    @pytest.mark.parametrize("limit", [0, 1, 3, 6, 9])
    async def test_a_rendered_page_is_the_page_as_it_is_sent(self, feeds: Feeds, limit: int) -> None:
        shown = rich.Rich(severity="critical", icon="bell", actions=(rich.Action(id="yes", label="Yes"),))
        await feeds.append(
            [
                a_draft(1, rich=shown),
                a_draft(2, collapse_key="k"),
                a_draft(3, collapse_key="c", actor=rich.Actor(name="Bob", id="bob")),
                a_draft(4, title="A title", metadata={"a": [1e30, "ü"]}, action_url="/a", expires_at=LATER),
                a_draft(5),
                a_draft(6),
            ]
        )
        await feeds.mark(ADA, Mark.READ, [an_id(5)], LATER)
        await feeds.mark(ADA, Mark.SEEN, [an_id(n) for n in (1, 3)], LATER)

        page = await feeds.page(ADA, Status.ALL, limit=limit)
        sent = await feeds.rendered_page(ADA, Status.ALL, limit=limit)

        expected = list(map(wire.render, page.notifications))
        assert sent == RenderedPage(page.feed, expected, page.more)
        older = await feeds.rendered_page(
            ADA, Status.UNREAD, limit=2, before=an_id(4), categories=["comment"]
        )
        assert [wire.identifier(item) for item in older.items] == [str(an_id(n)) for n in (3, 2)]
        with pytest.raises(UnknownUser):
            await feeds.rendered_page(NOBODY, Status.ALL, limit=limit)

    async def test_a_page_of_one_event_shows_no_other(self, feeds: Feeds) -> None:
        await feeds.append([a_draft(1, event="a"), a_draft(2, event="b"), a_draft(3, event="a")])

        page = await feeds.page(ADA, Status.ALL, limit=1, event="a")
        rest = await feeds.page(ADA, Status.ALL, limit=1, event="a", before=an_id(3))

        assert (ids(page.notifications), page.more) == ([an_id(3)], True)
        assert (ids(rest.notifications), rest.more) == ([an_id(1)], False)
        assert page.feed.unread_count == 3

    async def test_history_comes_in_version_order_page_by_page(self, feeds: Feeds) -> None:
        await feeds.append(drafts(3))
        await feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

        first = await history_of(feeds, ADA, 1, 2)
        last = await history_of(feeds, ADA, first.notifications[-1].version, 2)

        assert (versions(first.notifications), first.more) == ([2, 3], True)
        assert (ids(last.notifications), versions(last.notifications), last.more) == ([an_id(1)], [4], False)

    async def test_history_after_the_end_is_empty(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))

        found = await history_of(feeds, ADA, 1, 10)

        assert (found.notifications, found.more, found.feed.version) == ((), False, 1)

    async def test_history_tells_of_retracted_ones_that_nothing_else_shows(self, feeds: Feeds) -> None:
        await feeds.append(drafts(2))
        await feeds.mark(ADA, Mark.RETRACTED, [an_id(1)], LATER)

        (changed,) = (await history_of(feeds, ADA, 2, 10)).notifications

        assert (changed.id, changed.retracted_at) == (an_id(1), LATER)
        with pytest.raises(UnknownNotification):
            await feeds.get(ADA, an_id(1))

    async def test_the_standings_of_many_are_read_at_once(self, feeds: Feeds) -> None:
        await feeds.append(drafts(3))
        await feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

        found = await feeds.standings([BOB, NOBODY, ADA, ADA])

        assert found == {user: Standing(await feeds.feed(user), 0) for user in (ADA, BOB)}
        assert (found[ADA].feed.version, found[ADA].feed.unread_count) == (4, 2)
        assert await feeds.standings([]) == {}

    async def test_the_histories_of_many_are_as_each_alone(self, feeds: Feeds) -> None:
        await feeds.append([*drafts(5), *(a_draft(n, BOB) for n in (1, 2))])
        await feeds.mark(BOB, Mark.RETRACTED, [an_id(1)], LATER)
        wanted = [(BOB, 0), (ADA, 4), (ADA, 0), (ADA, 5), (BOB, 99), (ADA, 0)]

        found = await feeds.histories(wanted, 2)

        assert list(found) == [await history_of(feeds, user, after, 2) for user, after in wanted]
        assert [versions(one.notifications) for one in found if one] == [[2, 3], [5], [1, 2], [], [], [1, 2]]
        assert [one.more for one in found if one] == [False, False, True, False, False, True]

    async def test_who_has_no_feed_has_no_history_among_others(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))

        found = await feeds.histories([(NOBODY, 0), (ADA, 0), (NOBODY, 1)], 10)

        assert [one and versions(one.notifications) for one in found] == [None, [1], None]
        assert list(await feeds.histories([(NOBODY, 0)], 10)) == [None]
        assert list(await feeds.histories([], 10)) == []

    async def test_histories_span_months(self, feeds: Feeds) -> None:
        long_ago = NOW - timedelta(days=70)
        await feeds.append([a_draft(1), a_draft(2, at=long_ago), a_draft(3, BOB, at=long_ago)])

        ada, bob = await feeds.histories([(ADA, 0), (BOB, 0)], 10)

        assert ada
        assert bob
        assert ids(ada.notifications) == [an_id(1), an_id(2, long_ago)]
        assert ids(bob.notifications) == [an_id(3, long_ago)]

    async def test_what_has_expired_is_listed_oldest_first_until_it_is_retracted(self, feeds: Feeds) -> None:
        times = {1: LATER, 2: NOW, 3: LATER + timedelta(microseconds=1), 4: None}
        await feeds.append([a_draft(n, expires_at=at) for n, at in times.items()])

        assert list(await feeds.due(Mark.RETRACTED, LATER, 10)) == [(ADA, an_id(2)), (ADA, an_id(1))]
        assert list(await feeds.due(Mark.RETRACTED, LATER, 1)) == [(ADA, an_id(2))]

        await feeds.mark(ADA, Mark.RETRACTED, [an_id(2)], LATER)
        assert list(await feeds.due(Mark.RETRACTED, LATER, 10)) == [(ADA, an_id(1))]

    # --- at the same time ---

    async def test_of_many_reads_at_once_one_changes_something(self, feeds: Feeds) -> None:
        await feeds.append(drafts(1))

        marked = await asyncio.gather(
            *(feeds.mark(ADA, Mark.READ, [an_id()], NOW + timedelta(seconds=n)) for n in range(12))
        )

        assert sorted(change.changed for change in marked) == [0] * 11 + [1]
        winner = next(change for change in marked if change.changed)
        assert (await feeds.get(ADA, an_id())).read_at == winner.at
        assert await feeds.feed(ADA) == winner.feed

    async def test_a_batch_delivered_twice_at_once_is_stored_once(self, feeds: Feeds) -> None:
        batch = [*drafts(20), *drafts(20, BOB)]

        outcomes = await asyncio.gather(*(feeds.append(batch) for _ in range(4)), feeds.append(batch[::-1]))

        assert sum(len(change.notifications) for done in outcomes for change in done.added) == 40
        assert versions(await everything(feeds)) == list(range(1, 21))
        assert versions(await everything(feeds, BOB)) == list(range(1, 21))

    async def test_changes_at_once_leave_no_hole_and_exact_counts(self, feeds: Feeds) -> None:
        await feeds.append(drafts(10))

        outcomes: list[Appended | Marked] = await asyncio.gather(
            *(feeds.append(drafts(3, first=11 + 3 * n)) for n in range(6)),
            *(feeds.mark(ADA, Mark.READ, [an_id(n), an_id(n + 1)], LATER) for n in range(1, 8)),
            *(mark_up_to(feeds, Mark.ARCHIVED, n, LATER) for n in (2, 5)),
            *(feeds.append([a_draft(n, BOB)]) for n in range(5)),
        )

        spans = sorted(
            (change.prev, change.feed.version)
            for outcome in outcomes
            for change in (outcome.added if isinstance(outcome, Appended) else [outcome])
            if change.feed.user_id == ADA and change.prev != change.feed.version
        )
        assert spans[0][0] == 10
        assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
        feed = await feeds.feed(ADA)
        assert feed.version == spans[-1][1]
        stored = await everything(feeds)
        assert len(stored) == 28
        assert len(set(versions(stored))) == 28
        assert stored[-1].version == feed.version

    async def test_marks_together_and_appends_at_once_are_exact(self, feeds: Feeds) -> None:
        """Each mark is made whole or its user is left out, and nobody waits in a circle."""
        await feeds.append([*drafts(8), *drafts(8, BOB)])

        async def mark(n: int) -> Mapping[UserId, Marked]:
            users = [ADA, BOB] if n % 2 else [BOB, ADA]
            return await feeds.mark_together(
                Mark.READ, [MarkRequest(user, [an_id(n)], LATER) for user in users]
            )

        outcomes = await asyncio.gather(
            *(mark(n) for n in range(1, 9)),
            *(feeds.append([a_draft(10 + n), a_draft(10 + n, BOB)]) for n in range(8)),
        )

        for user in (ADA, BOB):
            made = [done[user] for done in outcomes if isinstance(done, Mapping) and user in done]
            assert [marked.changed for marked in made] == [1] * len(made)
            stored = await everything(feeds, user)
            assert sum(not item.unread for item in stored) == len(made)
            feed = await feeds.feed(user)
            assert (feed.version, feed.unread_count) == (16 + len(made), 16 - len(made))
            assert len(set(versions(stored))) == 16

    async def test_histories_read_at_once_are_each_true_for_the_version_they_name(self, feeds: Feeds) -> None:
        """While both feeds change: every change up to that version is there, and none after it."""
        batches = [[a_draft(n, user) for user in (ADA, BOB)] for n in range(1, 31)]

        async def change() -> None:
            for batch in batches:
                await feeds.append(batch)

        changing = asyncio.create_task(change())
        while not changing.done():
            for found in await feeds.histories([(BOB, 0), (ADA, 0)], 100):
                assert found
                assert versions(found.notifications) == list(range(1, found.feed.version + 1))
                assert found.feed.unread_count == found.feed.version
            await asyncio.sleep(0)
        await changing

    async def test_a_page_is_true_for_the_version_it_names(self, feeds: Feeds) -> None:
        async def change() -> None:
            for n in range(1, 16):
                await feeds.append([a_draft(n)])
                if n % 3 == 0:
                    await feeds.mark(ADA, Mark.READ, [an_id(n - 1)], LATER)

        async def look() -> None:
            while not changing.done():
                page = await feeds.page(ADA, Status.UNREAD, limit=100)
                assert len(page.notifications) == page.feed.unread_count
                found = await history_of(feeds, ADA, 0, 100)
                assert max(versions(found.notifications), default=0) == found.feed.version
                await asyncio.sleep(0)

        changing = asyncio.create_task(change())
        await asyncio.gather(changing, look(), look())

        assert (await feeds.feed(ADA)).unread_count == 10


class PreferencesContract:
    """Needs `preferences`, and `feeds` and `users` of the same store."""

    @pytest.fixture(autouse=True)
    async def known_users(self, users: Users) -> None:
        await users.add(a_user(ADA), None)
        await users.add(a_user(BOB), None)

    async def test_nobody_has_chosen_anything_at_first(self, preferences: Preferences) -> None:
        feed, chosen = await preferences.choices(ADA)

        assert (feed.version, feed.preferences_version, chosen) == (0, 0, {})

    async def test_a_choice_takes_the_next_version_and_changes_no_count(
        self, preferences: Preferences, feeds: Feeds
    ) -> None:
        (added,) = (await feeds.append([a_draft(1), a_draft(2)])).added

        chosen = await preferences.choose(ADA, {"comment": False, "billing": True})

        assert (chosen.prev, chosen.changed) == (2, True)
        assert chosen.feed == replace(added.feed, version=3, preferences_version=3)
        assert chosen.choices == {"comment": False, "billing": True}
        assert await preferences.choices(ADA) == (chosen.feed, {"comment": False, "billing": True})
        assert await feeds.feed(ADA) == chosen.feed
        assert await everything(feeds) == added.notifications

    async def test_what_is_not_named_stays_and_null_goes_back_to_the_default(
        self, preferences: Preferences
    ) -> None:
        await preferences.choose(ADA, {"a": False, "b": False, "c": True, "d": True})

        await preferences.choose(ADA, {"b": None, "c": False, "e": True})

        feed, chosen = await preferences.choices(ADA)
        assert chosen == {"a": False, "c": False, "d": True, "e": True}
        assert feed.preferences_version == 2

    @pytest.mark.parametrize("again", [{"a": False}, {"b": None}, {}, {"a": False, "c": True, "b": None}])
    async def test_choosing_the_same_changes_nothing(
        self, preferences: Preferences, again: dict[str, bool | None]
    ) -> None:
        first = await preferences.choose(ADA, {"c": True, "a": False})

        second = await preferences.choose(ADA, again)

        assert (second.prev, second.feed, second.changed) == (1, first.feed, False)

    async def test_what_follows_takes_the_version_after_it(
        self, preferences: Preferences, feeds: Feeds
    ) -> None:
        await preferences.choose(ADA, {"billing": False})

        (added,) = (await feeds.append([a_draft(1)])).added
        marked = await feeds.mark(ADA, Mark.READ, [an_id(1)], LATER)

        assert (added.prev, versions(added.notifications)) == (1, [2])
        assert (marked.prev, marked.feed.version) == (2, 3)
        assert added.feed.preferences_version == marked.feed.preferences_version == 1

    async def test_a_replay_past_a_choice_holds_what_changed_beside_it(
        self, preferences: Preferences, feeds: Feeds
    ) -> None:
        await feeds.append([a_draft(1)])
        chosen = await preferences.choose(ADA, {"billing": False})

        after = await history_of(feeds, ADA, 1, 10)
        whole = await history_of(feeds, ADA, 0, 10)

        assert (after.notifications, after.more, after.feed) == ((), False, chosen.feed)
        assert versions(whole.notifications) == [1]

    async def test_a_users_choices_are_nobody_elses(self, preferences: Preferences) -> None:
        await preferences.choose(ADA, {"billing": False})

        feed, chosen = await preferences.choices(BOB)

        assert (feed.version, chosen) == (0, {})

    async def test_who_is_unknown_chooses_nothing(self, preferences: Preferences) -> None:
        with pytest.raises(UnknownUser):
            await preferences.choose(NOBODY, {"billing": False})
        with pytest.raises(UnknownUser):
            await preferences.choices(NOBODY)

    async def test_beyond_the_most_choices_nothing_changes(self, preferences: Preferences) -> None:
        names = [f"c{number}" for number in range(CHOICES)]
        await preferences.choose(ADA, dict.fromkeys(names[: CHOICES // 2], True))
        before = await preferences.choose(ADA, dict.fromkeys(names[CHOICES // 2 :], False))

        with pytest.raises(Invalid):
            await preferences.choose(ADA, {"one": True, "c0": False})

        assert await feeds_of(preferences) == before.feed
        replaced = await preferences.choose(ADA, {"one": True, "c0": None})
        assert replaced.changed

    async def test_those_who_choose_at_once_lose_nothing(
        self, preferences: Preferences, feeds: Feeds
    ) -> None:
        made = await asyncio.gather(
            *(preferences.choose(ADA, {f"c{number}": number % 2 == 0}) for number in range(10)),
            *(feeds.append([a_draft(number)]) for number in range(10)),
        )

        prevs = [change.prev for change in made if isinstance(change, Chosen)]
        prevs += [change.added[0].prev for change in made if isinstance(change, Appended)]
        feed, chosen = await preferences.choices(ADA)
        assert sorted(prevs) == list(range(20))
        assert chosen == {f"c{number}": number % 2 == 0 for number in range(10)}
        assert (feed.version, feed.unread_count) == (20, 10)


class AlarmsContract:
    """Needs `alarms`, `feeds`, `users` and `retention` of the same store."""

    PAST = datetime(2020, 1, 1, tzinfo=UTC)
    FAR = datetime(2100, 1, 1, tzinfo=UTC)

    @pytest.fixture(autouse=True)
    async def known_users(self, users: Users) -> None:
        for user in (ADA, BOB):
            await users.add(a_user(user), None)

    async def waiting(self, feeds: Any) -> int:
        """How many alarms there are."""
        raise NotImplementedError

    @staticmethod
    async def ring(alarms: Alarms, limit: int = 100) -> list[Marked]:
        rung = await alarms.ring(AlarmKind.WAKE, limit)
        changes = [change for change in rung.changes if isinstance(change, Marked)]
        assert len(changes) == len(rung.changes)
        assert bool(rung.late) >= bool(rung.count)
        return changes

    async def test_what_was_snoozed_comes_back_unread_and_unseen_once(
        self, alarms: Alarms, feeds: Feeds
    ) -> None:
        await feeds.append(drafts(2))
        await feeds.mark(ADA, Mark.READ, [an_id(1)], NOW)
        away = await feeds.mark(ADA, Mark.SNOOZED, [an_id(1), an_id(2)], self.PAST)
        assert (away.feed.unread_count, await self.waiting(feeds)) == (0, 2)

        (woken,) = await self.ring(alarms)

        assert (woken.mark, woken.prev, set(woken.ids)) == (Mark.WOKEN, 5, {an_id(1), an_id(2)})
        assert woken.set == {"woken_at": woken.at}
        assert (woken.feed.unread_count, woken.feed.unseen_count, woken.feed.version) == (2, 2, 7)
        for item in await everything(feeds):
            assert (item.woken_at, item.snoozed_until, item.read_at, item.seen_at) == (
                woken.at,
                None,
                None,
                None,
            )
        assert await self.ring(alarms) == []
        assert (await feeds.feed(ADA), await self.waiting(feeds)) == (woken.feed, 0)

    async def test_nothing_rings_before_its_time(self, alarms: Alarms, feeds: Feeds) -> None:
        await feeds.append(drafts(1))
        away = await feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], self.FAR)

        assert await self.ring(alarms) == []
        assert (await feeds.feed(ADA), await self.waiting(feeds)) == (away.feed, 1)

    async def test_snoozing_again_replaces_the_alarm(self, alarms: Alarms, feeds: Feeds) -> None:
        await feeds.append(drafts(1))
        for until in (self.PAST, self.FAR):
            await feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], until)
        assert (await self.ring(alarms), await self.waiting(feeds)) == ([], 1)

        await feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], self.PAST)

        assert [change.ids for change in await self.ring(alarms)] == [(an_id(1),)]

    @pytest.mark.parametrize("mark", [Mark.ARCHIVED, Mark.RETRACTED, Mark.WOKEN])
    async def test_what_is_not_snoozed_any_more_does_not_wake(
        self, alarms: Alarms, feeds: Feeds, mark: Mark
    ) -> None:
        await feeds.append(drafts(1))
        await feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], self.PAST)
        await feeds.mark(ADA, mark, [an_id(1)], NOW)
        before = await everything(feeds)

        assert await self.ring(alarms) == []
        assert (await everything(feeds), await self.waiting(feeds)) == (before, 0)

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_what_is_unarchived_before_its_time_or_after_it_wakes(
        self, alarms: Alarms, feeds: Feeds, when: str
    ) -> None:
        await feeds.append(drafts(1))
        await feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], self.PAST)
        await feeds.mark(ADA, Mark.ARCHIVED, [an_id(1)], NOW)
        if when == "after":
            assert await self.ring(alarms) == []
        back = await feeds.mark(ADA, Mark.UNARCHIVED, [an_id(1)], NOW)
        assert back.feed.unread_count == 0

        (woken,) = await self.ring(alarms)

        assert (woken.ids, woken.feed.unread_count) == ((an_id(1),), 1)

    @pytest.mark.parametrize("way", ["together", "up to"])
    async def test_every_way_of_snoozing_puts_an_alarm(self, alarms: Alarms, feeds: Feeds, way: str) -> None:
        await feeds.append([*drafts(2), a_draft(1, BOB)])
        if way == "together":
            requests = [MarkRequest(user, [an_id(1)], self.PAST) for user in (ADA, BOB)]
            await feeds.mark_together(Mark.SNOOZED, requests)
        else:
            await mark_up_to(feeds, Mark.SNOOZED, 2, self.PAST)

        woken = {(change.feed.user_id, one) for change in await self.ring(alarms) for one in change.ids}

        together = {(ADA, an_id(1)), (BOB, an_id(1))}
        assert woken == (together if way == "together" else {(ADA, an_id(1)), (ADA, an_id(2))})

    async def test_the_earliest_ring_first_and_no_more_than_told(self, alarms: Alarms, feeds: Feeds) -> None:
        await feeds.append(drafts(5))
        for n in range(1, 6):
            await feeds.mark(ADA, Mark.SNOOZED, [an_id(n)], self.PAST - timedelta(days=n))

        rounds = [{one for change in await self.ring(alarms, 2) for one in change.ids} for _ in range(4)]

        assert rounds == [{an_id(5), an_id(4)}, {an_id(3), an_id(2)}, {an_id(1)}, set()]

    async def test_two_that_ring_at_once_share_the_work(
        self, alarms: Alarms, feeds: Feeds, users: Users
    ) -> None:
        names = [UserId(f"u{n}") for n in range(20)]
        for user in names:
            await users.add(a_user(user), None)
            await feeds.append(drafts(2, user))
            await feeds.mark(user, Mark.SNOOZED, [an_id(1), an_id(2)], self.PAST)
        told: list[tuple[UserId, NotificationId]] = []

        async def consumer() -> None:
            while await self.waiting(feeds):
                for change in await self.ring(alarms, 5):
                    told.extend((change.feed.user_id, one) for one in change.ids)

        await asyncio.gather(consumer(), consumer())

        assert sorted(told) == [(user, one) for user in sorted(names) for one in (an_id(1), an_id(2))]
        for user in names:
            feed = await feeds.feed(user)
            assert (feed.version, feed.unread_count, feed.unseen_count) == (6, 2, 2)

    async def test_snoozing_again_while_it_rings_leaves_it_snoozed_with_an_alarm(
        self, alarms: Alarms, feeds: Feeds
    ) -> None:
        await feeds.append(drafts(1))
        for n in range(20):
            await feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], self.PAST + timedelta(seconds=n))
            before = await feeds.feed(ADA)

            woken, _ = await asyncio.gather(
                self.ring(alarms), feeds.mark(ADA, Mark.SNOOZED, [an_id(1)], self.FAR)
            )

            (item,) = await everything(feeds)
            assert (item.snoozed_until, await self.waiting(feeds)) == (self.FAR, 1)
            assert (await feeds.feed(ADA)).version == before.version + 1 + len(woken)

    async def test_pruning_leaves_no_alarm(self, alarms: Alarms, feeds: Feeds, retention: Retention) -> None:
        march = datetime(2026, 3, 1, tzinfo=UTC)
        old = march - timedelta(milliseconds=1)
        await feeds.append([a_draft(1, at=old), a_draft(2)])
        await feeds.mark(ADA, Mark.SNOOZED, [an_id(1, old), an_id(2)], self.PAST)

        await retention.prune(march, None, 10)

        assert await self.waiting(feeds) == 1
        assert [change.ids for change in await self.ring(alarms)] == [(an_id(2),)]


async def feeds_of(preferences: Preferences) -> Feed:
    """Ada's feed."""
    return (await preferences.choices(ADA))[0]


class RetentionContract:
    """Needs `retention`, and `feeds` and `users` of the same store."""

    MARCH = datetime(2026, 3, 1, tzinfo=UTC)
    FEBRUARY = MARCH - timedelta(milliseconds=1)
    LONG_AGO = datetime(2019, 6, 1, tzinfo=UTC)

    @pytest.fixture(autouse=True)
    async def known_users(self, users: Users) -> None:
        for user in (ADA, BOB):
            await users.add(a_user(user), None)

    async def test_what_is_older_is_gone_and_the_rest_stays(self, retention: Retention, feeds: Feeds) -> None:
        kept = [a_draft(3, at=self.MARCH), a_draft(4)]
        await feeds.append([a_draft(1, at=self.LONG_AGO), a_draft(2, at=self.FEBRUARY), *kept])

        pruned = await retention.prune(self.MARCH, None, 10)

        assert (pruned.notifications, pruned.last) == (2, Spot(ADA, an_id(2, self.FEBRUARY)))
        assert ids(await everything(feeds)) == [draft.id for draft in kept]
        assert pruned.feeds == [await feeds.feed(ADA)]
        with pytest.raises(UnknownNotification):
            await feeds.get(ADA, an_id(2, self.FEBRUARY))

    async def test_a_feed_that_lost_something_is_at_a_new_version_and_cannot_be_replayed_from_before(
        self, retention: Retention, feeds: Feeds
    ) -> None:
        await feeds.append([a_draft(1, at=self.FEBRUARY), a_draft(2), a_draft(1, BOB)])

        await retention.prune(self.MARCH, None, 10)

        standings = await feeds.standings([ADA, BOB])
        assert (standings[ADA].feed.version, standings[ADA].horizon) == (3, 3)
        assert (standings[BOB].feed.version, standings[BOB].horizon) == (1, 0)
        histories = await feeds.histories([(ADA, 0), (ADA, 3), (BOB, 0)], 10)
        assert [one.horizon for one in histories if one] == [3, 3, 0]
        assert (await history_of(feeds, ADA, 2, 10)).horizon == 3
        assert (await feeds.append([a_draft(5)])).added[0].prev == 3

    @pytest.mark.parametrize("mark", list(Mark))
    async def test_what_was_unread_of_it_is_counted_no_more(
        self, retention: Retention, feeds: Feeds, mark: Mark
    ) -> None:
        """Whatever was done to it, for what was not unread has left the count before."""
        await feeds.append([*(a_draft(n, at=self.FEBRUARY) for n in (1, 2)), *drafts(3)])
        for each in (*effect_of(mark).first, mark):
            await feeds.mark(ADA, each, [an_id(1, self.FEBRUARY)], LATER)
        assert (await feeds.feed(ADA)).unread_count == 4 + effect_of(mark).unread

        pruned = await retention.prune(self.MARCH, None, 10)

        assert pruned.notifications == 2
        assert (await feeds.feed(ADA)).unread_count == 3
        await everything(feeds)

    async def test_it_is_done_in_batches_each_of_which_is_true(
        self, retention: Retention, feeds: Feeds
    ) -> None:
        await feeds.append([a_draft(n, user, at=self.FEBRUARY) for n in range(1, 6) for user in (ADA, BOB)])
        await feeds.append([a_draft(9)])
        after, sizes = None, []

        while (pruned := await retention.prune(self.MARCH, after, 3)).last is not None:
            after = pruned.last
            sizes.append(pruned.notifications)
            for feed in pruned.feeds:
                assert (await feeds.standings([feed.user_id]))[feed.user_id] == Standing(feed, feed.version)
            for user in (ADA, BOB):
                await everything(feeds, user)

        assert sizes == [3, 3, 3, 1]
        assert ids(await everything(feeds)) == [an_id(9)]
        assert (await feeds.feed(BOB)).unread_count == 0

    async def test_where_nothing_is_old_nothing_changes(self, retention: Retention, feeds: Feeds) -> None:
        await feeds.append(drafts(2))
        before = await feeds.feed(ADA)

        pruned = await retention.prune(self.MARCH, None, 10)

        assert (list(pruned.feeds), pruned.notifications, pruned.last) == ([], 0, None)
        assert await feeds.feed(ADA) == before

    async def test_two_that_prune_at_once_count_nothing_twice(
        self, retention: Retention, feeds: Feeds
    ) -> None:
        await feeds.append([a_draft(n, at=self.FEBRUARY) for n in range(1, 21)])
        await feeds.append([a_draft(1)])

        both = await asyncio.gather(*(retention.prune(self.MARCH, None, 100) for _ in range(2)))

        assert sum(pruned.notifications for pruned in both) == 20
        assert (await feeds.feed(ADA)).unread_count == 1
        assert len(await everything(feeds)) == 1


class UsersContract:
    """Needs `users`."""

    async def test_a_user_comes_back_as_it_was(self, users: Users) -> None:
        user = a_user(UserId("A.b_c:d@e-9"), name="Ada ﷽ 👩", email="ada@example.com", disabled_at=LATER)

        await users.add(user, "a hash")

        assert await users.get(user.id) == user
        assert (await users.credentials(["ada@example.com"]) or ())[:2] == (user, "a hash")

    async def test_an_unknown_user_is_not_found(self, users: Users) -> None:
        with pytest.raises(UnknownUser):
            await users.get(ADA)
        assert await users.credentials(["ada@example.com"]) is None
        assert await users.known([ADA]) == frozenset()

    async def test_nobody_is_asked_for(self, users: Users) -> None:
        assert await users.known([]) == frozenset()

    async def test_an_id_is_taken_once(self, users: Users) -> None:
        await users.add(a_user(ADA), None)

        with pytest.raises(UserTaken):
            await users.add(a_user(ADA, name="Another"), None)

        assert (await users.get(ADA)).name == "Ada Lovelace"

    async def test_ids_that_differ_in_case_are_two_users(self, users: Users) -> None:
        await users.add(a_user(UserId("ada")), None)
        await users.add(a_user(UserId("Ada")), None)

        assert await users.known([UserId("ADA"), UserId("Ada")]) == {"Ada"}

    async def test_an_address_is_taken_once(self, users: Users) -> None:
        await users.add(a_user(ADA, email="ada@example.com"), None)

        with pytest.raises(UserTaken):
            await users.add(a_user(BOB, email="ada@example.com"), None)

        assert await users.known([BOB]) == frozenset()

    async def test_many_may_have_no_address(self, users: Users) -> None:
        await users.add(a_user(ADA), None)
        await users.add(a_user(BOB), None)

        assert await users.known([ADA, BOB, NOBODY]) == {ADA, BOB}

    async def test_who_was_added_after_being_asked_for_is_known(self, users: Users) -> None:
        assert await users.known([ADA, BOB]) == frozenset()

        await users.add(a_user(BOB), None)

        assert await users.known([ADA, BOB]) == {BOB}

    async def test_without_a_password_there_are_no_credentials(self, users: Users) -> None:
        await users.add(a_user(ADA, email="ada@example.com"), None)

        assert await users.credentials(["ada@example.com"]) is None

    async def test_of_several_addresses_the_first_with_a_password_counts(self, users: Users) -> None:
        await users.add(a_user(ADA, email="ada@example.com"), "hash of ada")
        await users.add(a_user(BOB, email="bob@example.com"), "hash of bob")
        await users.add(a_user(NOBODY, email="bare@example.com"), None)

        for emails, expected in (
            (["ada@example.com", "bob@example.com"], "hash of ada"),
            (["bob@example.com", "ada@example.com"], "hash of bob"),
            (["eve@example.com", "bob@example.com"], "hash of bob"),
            (["bare@example.com", "ada@example.com"], "hash of ada"),
        ):
            found = await users.credentials(emails)
            assert found is not None
            assert found[1] == expected
        assert await users.credentials([]) is None

    async def test_an_address_is_somebodys_with_or_without_a_password(self, users: Users) -> None:
        await users.add(a_user(ADA, email="ada@example.com"), None)

        assert await users.has_address("ada@example.com")
        assert not await users.has_address("Ada@example.com")

    async def test_a_user_gets_another_form_of_the_address_and_another_hash(self, users: Users) -> None:
        user = a_user(ADA, email="zoe\u0301@example.com")
        await users.add(user, "a hash")

        await users.renew(user, "a hash", "zo\u00e9@example.com", "another hash")

        renewed = a_user(ADA, email="zo\u00e9@example.com")
        assert await users.get(ADA) == renewed
        assert await users.credentials(["zo\u00e9@example.com"]) == (renewed, "another hash", None)
        assert await users.credentials(["zoe\u0301@example.com"]) is None

    async def test_what_has_changed_meanwhile_is_not_renewed(self, users: Users) -> None:
        user = a_user(ADA, email="ada@example.com")
        await users.add(user, "a hash")

        await users.renew(user, "an older hash", "ada@example.org", "another hash")
        await users.renew(a_user(ADA, email="old@example.com"), "a hash", "ada@example.org", "another hash")

        assert await users.credentials(["ada@example.com"]) == (user, "a hash", None)

    async def test_an_address_of_another_user_is_given_to_nobody(self, users: Users) -> None:
        user = a_user(ADA, email="ada@example.com")
        await users.add(user, "a hash")
        await users.add(a_user(BOB, email="bob@example.com"), None)

        with pytest.raises(UserTaken):
            await users.renew(user, "a hash", "bob@example.com", "another hash")

        assert await users.credentials(["ada@example.com"]) == (user, "a hash", None)

    async def test_of_many_sign_ups_at_once_one_succeeds(self, users: Users) -> None:
        outcomes = await asyncio.gather(
            *(users.add(a_user(ADA, name=f"Ada {n}"), None) for n in range(8)), return_exceptions=True
        )

        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType"] + ["UserTaken"] * 7

    # --- who is let in ---

    @staticmethod
    async def revoked(users: Users, since: datetime | None = None) -> dict[UserId, Revocation]:
        found = (await users.revocations(since)).revocations
        by_user = {revocation.user_id: revocation for revocation in found}
        assert len(by_user) == len(found)
        return by_user

    @staticmethod
    async def now(users: Users) -> datetime:
        return (await users.revocations(None)).as_of

    async def test_a_user_whom_nothing_happened_to_is_in_no_revocation(self, users: Users) -> None:
        await users.add(a_user(ADA), None)

        assert await self.revoked(users) == {}

    async def test_a_disabled_user_is_known_as_such_since_the_first_time(self, users: Users) -> None:
        await users.add(a_user(ADA, email="ada@example.com"), "a hash")
        await users.add(a_user(BOB), None)
        before = await self.now(users)
        await users.disable(ADA)
        first = (await users.get(ADA)).disabled_at

        await users.disable(ADA)

        after = await self.now(users)
        assert first is not None
        assert before <= first <= after
        user = a_user(ADA, email="ada@example.com", disabled_at=first)
        assert await users.get(ADA) == user
        revocation = (await self.revoked(users))[ADA]
        assert await users.credentials(["ada@example.com"]) == (user, "a hash", revocation.at)
        assert revocation.disabled
        assert before <= revocation.at <= after
        assert (await users.get(BOB)).disabled_at is None

    async def test_a_user_who_was_added_as_disabled_is_so(self, users: Users) -> None:
        await users.add(a_user(ADA, disabled_at=NOW), None)

        assert (await self.revoked(users))[ADA].disabled

    async def test_a_user_who_is_enabled_again_has_no_earlier_tokens(self, users: Users) -> None:
        await users.add(a_user(ADA), None)
        await users.disable(ADA)
        before = await self.now(users)

        await users.enable(ADA)

        assert await users.get(ADA) == a_user(ADA)
        revocation = (await self.revoked(users, before))[ADA]
        assert not revocation.disabled
        assert before <= revocation.at <= await self.now(users)

    async def test_enabling_one_who_is_not_disabled_revokes_nothing(self, users: Users) -> None:
        await users.add(a_user(ADA), None)
        await users.add(a_user(BOB), None)
        await users.revoke_tokens(BOB)
        before = await self.revoked(users)

        await users.enable(ADA)
        await users.enable(BOB)

        assert await self.revoked(users) == before
        assert before.keys() == {BOB}

    async def test_tokens_are_revoked_up_to_now_and_again(self, users: Users) -> None:
        await users.add(a_user(ADA), None)
        times = []
        for _ in range(2):
            before = await self.now(users)
            await users.revoke_tokens(ADA)
            revocation = (await self.revoked(users))[ADA]
            assert not revocation.disabled
            assert before <= revocation.at <= await self.now(users)
            times.append(revocation.at)

        assert times == sorted(times)
        assert await users.get(ADA) == a_user(ADA)

    async def test_revoking_tokens_of_a_disabled_user_enables_nobody(self, users: Users) -> None:
        await users.add(a_user(ADA), None)
        await users.disable(ADA)

        await users.revoke_tokens(ADA)

        assert (await self.revoked(users))[ADA].disabled
        assert (await users.get(ADA)).disabled_at is not None

    async def test_what_happened_since_a_time_includes_that_time(self, users: Users) -> None:
        for user in (ADA, BOB):
            await users.add(a_user(user), None)
        await users.revoke_tokens(ADA)
        at = (await self.revoked(users))[ADA].at

        assert (await self.revoked(users, at)).keys() == {ADA}
        assert await self.revoked(users, at + timedelta(days=1)) == {}

    @pytest.mark.parametrize("user", [NOBODY, UserId("\x00"), UserId(""), UserId("\ud800")])
    @pytest.mark.parametrize("change", ["disable", "enable", "revoke_tokens"])
    async def test_nobody_else_can_be_locked_out(self, users: Users, change: str, user: UserId) -> None:
        await users.add(a_user(ADA), None)

        with pytest.raises(UnknownUser):
            await getattr(users, change)(user)

        assert await self.revoked(users) == {}


class DirectoryContract:
    """Needs `users`, `feeds`, and `directory`: the directory, which also creates missing users."""

    PUT = Entry(THE_SERVICE, Action.USER_CREATED, ADA)
    CHANGED = Entry(THE_SERVICE, Action.USER_CHANGED, ADA)

    async def put(self, directory: UserDirectory, user: User, *, keeps_email: bool = False) -> Put:
        return await directory.put(user, keeps_email=keeps_email, created=self.PUT, changed=self.CHANGED)

    @staticmethod
    async def all_of(directory: UserDirectory, search: UserSearch, limit: int) -> list[list[UserId]]:
        """The ids of each page."""
        pages, after, more = [], None, True
        while more:
            page = await directory.page(search, limit, after)
            assert len(page.users) <= limit
            pages.append([user.id for user in page.users])
            after, more = page.next, page.next is not None
        return pages

    # --- just in time ---

    async def test_who_is_missing_is_created_with_a_feed_and_others_stay(
        self, users: Users, feeds: Feeds, directory: MissingUsers
    ) -> None:
        await users.add(a_user(BOB, name="Bob", email="bob@example.com"), "hash")

        created = await directory.create([BOB, ADA], LATER)

        assert created == {ADA}
        assert await users.get(ADA) == User(id=ADA, name="ada", email=None, created_at=LATER)
        assert (await users.get(BOB)).name == "Bob"
        assert (await feeds.feed(ADA)).version == 0

    async def test_creating_again_creates_nobody(self, users: Users, directory: MissingUsers) -> None:
        await directory.create([ADA], NOW)

        assert await directory.create([ADA], LATER) == frozenset()
        assert await directory.create([], LATER) == frozenset()
        assert (await users.get(ADA)).created_at == NOW

    async def test_who_was_asked_for_before_is_known_once_created(
        self, users: Users, directory: MissingUsers
    ) -> None:
        assert await users.known([ADA]) == frozenset()

        await directory.create([ADA], NOW)

        assert await users.known([ADA]) == {ADA}

    async def test_many_who_create_the_same_users_at_once_create_each_once(
        self, feeds: Feeds, directory: MissingUsers
    ) -> None:
        wanted = [UserId(f"u{n}") for n in range(40)]
        orders = [wanted, wanted[::-1], wanted[20:] + wanted[:20], wanted[::2]]

        created = await asyncio.gather(*(directory.create(order, NOW) for order in orders))

        assert sorted(user for each in created for user in each) == sorted(wanted)
        assert (await feeds.standings(wanted)).keys() == set(wanted)

    # --- kept up to date ---

    async def test_who_is_put_is_created_changed_and_left_alone(
        self, users: Users, feeds: Feeds, directory: UserDirectory
    ) -> None:
        first, second = a_user(email="ada@example.com"), a_user(name="Augusta", email="king@example.com")

        puts = [await self.put(directory, user) for user in (first, second, second)]

        assert puts == [Put(first, self.PUT), Put(second, self.CHANGED), Put(second, None)]
        assert await users.get(ADA) == second
        assert (await feeds.feed(ADA)).version == 0

    async def test_the_time_of_its_creation_and_of_being_disabled_stay(
        self, users: Users, directory: UserDirectory
    ) -> None:
        await users.add(a_user(disabled_at=LATER), None)

        put = await self.put(directory, replace(a_user(name="Augusta"), created_at=LATER))

        assert put.user == await users.get(ADA) == a_user(name="Augusta", disabled_at=LATER)

    async def test_an_address_is_kept_or_taken_away(self, users: Users, directory: UserDirectory) -> None:
        await users.add(a_user(email="ada@example.com"), None)

        kept = await self.put(directory, a_user(name="Augusta"), keeps_email=True)
        gone = await self.put(directory, a_user(name="Augusta"))

        assert (kept.user.email, gone.user.email) == ("ada@example.com", None)
        assert not await users.has_address("ada@example.com")

    async def test_a_user_with_a_password_keeps_an_address(
        self, users: Users, directory: UserDirectory
    ) -> None:
        await users.add(a_user(email="ada@example.com"), "hash")

        with pytest.raises(Invalid, match="email is required"):
            await self.put(directory, a_user(name="Augusta"))
        moved = await self.put(directory, a_user(email="king@example.com"))

        assert await users.credentials(["king@example.com"]) == (moved.user, "hash", None)

    async def test_an_address_of_another_user_is_put_nowhere(
        self, users: Users, directory: UserDirectory
    ) -> None:
        await users.add(a_user(BOB, email="bob@example.com"), None)
        for _ in range(2):  # a new user and one who exists
            with pytest.raises(UserTaken):
                await self.put(directory, a_user(email="bob@example.com"))
            await self.put(directory, a_user(name="Augusta"))

        assert await users.get(ADA) == a_user(name="Augusta")

    async def test_of_many_puts_at_once_one_creates_and_the_last_counts(
        self, users: Users, directory: UserDirectory
    ) -> None:
        puts = await asyncio.gather(*(self.put(directory, a_user(name=f"Ada {n}")) for n in range(8)))

        assert [put.entry for put in puts].count(self.PUT) == 1
        assert [put.entry for put in puts].count(self.CHANGED) == 7
        assert await users.get(ADA) in [put.user for put in puts]

    async def test_of_many_puts_of_the_same_at_once_one_does_something(
        self, directory: UserDirectory
    ) -> None:
        puts = await asyncio.gather(*(self.put(directory, a_user()) for _ in range(8)))

        assert [put.entry for put in puts if put.entry is not None] == [self.PUT]
        assert all(put.user == a_user() for put in puts)

    async def test_a_user_knows_its_own_address(self, users: Users) -> None:
        await users.add(a_user(email="ada@example.com"), None)

        assert not await users.has_address("ada@example.com", besides=ADA)
        assert await users.has_address("ada@example.com", besides=BOB)

    # --- looked up ---

    IDS = (
        *("Z", "a", "acme", "acme-x", "acme.x", "acme:", "acme:1", "acme:B", "acme:a", "acme:a:b"),
        *("acme:z", "acme:zz", "acmex:a", "acme@x", "b", "_x", ":x"),
    )

    async def test_users_are_listed_in_the_order_of_their_bytes(
        self, users: Users, directory: UserDirectory
    ) -> None:
        for user in self.IDS:
            await users.add(a_user(UserId(user)), None)

        for limit in (1, 2, 5, len(self.IDS), 100):
            pages = await self.all_of(directory, UserSearch(), limit)
            assert [user for page in pages for user in page] == sorted(self.IDS)
            assert all(len(page) == limit for page in pages[:-1])

    @pytest.mark.parametrize("prefix", ["", "acme", "acme:", "acme:a", "a", "Z", "acme:zz", "x", ":"])
    async def test_a_prefix_is_compared_letter_by_letter(
        self, users: Users, directory: UserDirectory, prefix: str
    ) -> None:
        for user in self.IDS:
            await users.add(a_user(UserId(user)), None)

        pages = await self.all_of(directory, UserSearch(prefix=prefix), 3)

        assert [user for page in pages for user in page] == sorted(
            user for user in self.IDS if user.startswith(prefix)
        )

    async def test_a_user_is_found_by_a_form_of_its_address(
        self, users: Users, directory: UserDirectory
    ) -> None:
        await users.add(a_user(ADA, email="ada@example.com"), None)
        await users.add(a_user(BOB, email="bob@example.com"), None)
        find = partial(UserSearch, emails=["Ada@example.com", "ada@example.com"])

        assert await self.all_of(directory, find(), 1) == [[ADA]]
        assert await self.all_of(directory, find(prefix="ad", name="lovelace"), 1) == [[ADA]]
        assert await self.all_of(directory, find(prefix="b"), 1) == [[]]
        assert await self.all_of(directory, find(name="bob"), 1) == [[]]

    async def test_a_user_is_found_by_a_part_of_its_name(
        self, users: Users, directory: UserDirectory
    ) -> None:
        names = {"u1": "Ada Lovelace", "u2": "Bob", "u3": "Adam 100%", "u4": "Lada_", "u5": "Eve"}
        for user, name in names.items():
            await users.add(a_user(UserId(user), name=name), None)

        found = {
            part: [id_ for page in await self.all_of(directory, UserSearch(name=part), 2) for id_ in page]
            for part in ("ada", "ADA", "e", "%", "_", "love", "x")
        }

        assert found == {
            "ada": ["u1", "u3", "u4"],
            "ADA": ["u1", "u3", "u4"],
            "e": ["u1", "u5"],
            "%": ["u3"],
            "_": ["u4"],
            "love": ["u1"],
            "x": [],
        }


def body(item: Notification) -> Rendered:
    """What stands for a notification in these tests: JSON whose first field is the id."""
    fields = {"id": str(item.id), "version": item.version, "message": item.message}
    return Rendered(json.dumps(fields, separators=(",", ":")).encode())


class IndexUnderTest(Protocol):
    """The index, and how a change reaches it."""

    @property
    def index(self) -> UnreadIndex: ...

    async def apply(self, change: FeedChange) -> None: ...


class UnreadIndexContract:
    """Needs `under_test`, whose index keeps 100 notifications of a feed."""

    async def load(self, test: IndexUnderTest, *numbers: int, more: bool = False, **feed: Any) -> Feed:
        """Load unread notifications; return the feed they are of."""
        lease = await self.lease(test)
        position = replace(a_feed(version=10, unread=len(numbers)), **feed)
        items = [body(a_notification(n)) for n in sorted(numbers, reverse=True)]
        await test.index.load(RenderedPage(position, items, more), lease)
        return position

    async def lease(self, test: IndexUnderTest) -> str:
        found = await test.index.page(ADA, 10, None)
        assert isinstance(found, Missing)
        assert found.lease is not None
        return found.lease

    async def hit(self, test: IndexUnderTest, limit: int = 100, before: int | None = None) -> RenderedPage:
        found = await test.index.page(ADA, limit, an_id(before) if before is not None else None)
        assert isinstance(found, RenderedPage)
        return found

    async def held(self, test: IndexUnderTest, **query: Any) -> list[int]:
        """The numbers of the notifications on a page."""
        numbers = {str(an_id(n)): n for n in range(400)}
        return [numbers[json.loads(item)["id"]] for item in (await self.hit(test, **query)).items]

    @staticmethod
    def added(feed: Feed, *numbers: int) -> Added:
        grown = replace(
            feed, version=feed.version + len(numbers), unread_count=feed.unread_count + len(numbers)
        )
        items = [a_notification(n, version=feed.version + nth) for nth, n in enumerate(numbers, 1)]
        return Added(grown, tuple(items))

    @staticmethod
    def marked(feed: Feed, mark: Mark, *numbers: int, unread: int) -> Marked:
        items = [changeable(a_notification(n), mark).marked(mark, LATER, n) for n in numbers]
        after = replace(feed, version=feed.version + len(items), unread_count=unread)
        return Marked(after, feed.version, mark, LATER, tuple(items))

    @staticmethod
    def chosen(feed: Feed) -> Chosen:
        version = feed.version + 1
        after = replace(feed, version=version, preferences_version=version)
        return Chosen(after, feed.version, {"billing": False})

    # --- missing ---

    async def test_an_unknown_feed_is_missing_and_one_asker_gets_the_lease(
        self, under_test: IndexUnderTest
    ) -> None:
        asked = await asyncio.gather(*(under_test.index.page(ADA, 10, None) for _ in range(6)))

        assert all(isinstance(found, Missing) for found in asked)
        assert sum(isinstance(found, Missing) and found.lease is not None for found in asked) == 1

    async def test_a_lease_is_for_one_feed(self, under_test: IndexUnderTest) -> None:
        first = await self.lease(under_test)
        other = await under_test.index.page(BOB, 10, None)

        assert isinstance(other, Missing)
        assert other.lease not in {None, first}

    async def test_a_feed_loaded_empty_is_not_missing(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test)

        assert await self.hit(under_test) == RenderedPage(feed, [], more=False)

    async def test_what_was_loaded_comes_back_newest_first(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 2, 3, 1)

        page = await self.hit(under_test)

        assert [bytes(item) for item in page.items] == [body(a_notification(n)) for n in (3, 2, 1)]
        assert (page.feed, page.more) == (feed, False)

    async def test_what_is_loaded_is_for_its_user_alone(self, under_test: IndexUnderTest) -> None:
        await self.load(under_test, 1)

        assert isinstance(await under_test.index.page(BOB, 10, None), Missing)

    async def test_text_beyond_ascii_comes_back(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test)
        change = self.added(feed, 1)
        item = replace(change.notifications[0], message=AWKWARD_TEXT)
        await under_test.apply(replace(change, notifications=(item,)))

        assert json.loads((await self.hit(under_test)).items[0])["message"] == AWKWARD_TEXT

    # --- leases ---

    async def test_only_the_holder_of_the_lease_may_load(self, under_test: IndexUnderTest) -> None:
        await self.lease(under_test)

        await under_test.index.load(RenderedPage(a_feed(), [body(a_notification())], more=False), "forged")

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_a_lease_loads_once(self, under_test: IndexUnderTest) -> None:
        lease = await self.lease(under_test)
        newer, older = a_feed(version=7, unread=0), a_feed(version=3, unread=0)

        await under_test.index.load(RenderedPage(newer, [], more=False), lease)
        await under_test.index.load(RenderedPage(older, [], more=False), lease)

        assert (await self.hit(under_test)).feed == newer

    @pytest.mark.parametrize("change", ["added", "marked", "up_to", "chosen", "settled"])
    async def test_what_was_read_before_an_announced_change_is_not_loaded(
        self, under_test: IndexUnderTest, change: str
    ) -> None:
        feed = a_feed(version=10, unread=1)
        lease = await self.lease(under_test)
        changes: dict[str, FeedChange] = {
            "added": self.added(feed, 2),
            "marked": self.marked(feed, Mark.READ, 1, unread=0),
            "up_to": Marked(replace(feed, version=11), 10, Mark.READ, LATER, None, up_to=10),
            "chosen": self.chosen(feed),
            "settled": Settled(feed),
        }

        await under_test.apply(changes[change])
        await under_test.index.load(RenderedPage(feed, [body(a_notification())], more=False), lease)

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_after_a_change_the_lease_is_free_again(self, under_test: IndexUnderTest) -> None:
        first = await self.lease(under_test)
        await under_test.apply(Settled(a_feed()))

        assert await self.lease(under_test) != first

    async def test_a_change_of_another_feed_leaves_the_lease_alone(self, under_test: IndexUnderTest) -> None:
        lease = await self.lease(under_test)
        await under_test.apply(Settled(a_feed(user=BOB)))

        await under_test.index.load(RenderedPage(a_feed(unread=0), [], more=False), lease)

        assert (await self.hit(under_test)).items == []

    # --- changes ---

    async def test_a_change_that_follows_is_applied(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)

        change = self.added(feed, 3, 2)
        await under_test.apply(change)

        assert await self.held(under_test) == [3, 2, 1]
        assert (await self.hit(under_test)).feed == change.feed

    async def test_changes_apply_one_after_another(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1, 2, 3)
        for change in (
            added := self.added(feed, 4),
            read := self.marked(added.feed, Mark.READ, 2, 4, unread=2),
            unread := self.marked(read.feed, Mark.UNREAD, 2, unread=3),
        ):
            await under_test.apply(change)

        assert await self.held(under_test) == [3, 2, 1]
        assert (await self.hit(under_test)).feed == unread.feed

    @pytest.mark.parametrize("mark", list(Mark))
    async def test_what_is_not_unread_after_a_mark_leaves(
        self, under_test: IndexUnderTest, mark: Mark
    ) -> None:
        unread = effect_of(mark).unread
        feed = await self.load(under_test, 1, 2)

        await under_test.apply(self.marked(feed, mark, 1, unread=1 + unread))

        assert await self.held(under_test) == ([2, 1] if unread else [2])

    @pytest.mark.parametrize("mark", list(Mark))
    async def test_what_turns_unread_by_a_mark_comes_back(
        self, under_test: IndexUnderTest, mark: Mark
    ) -> None:
        unread = effect_of(mark).unread
        feed = await self.load(under_test, 1, 3)

        await under_test.apply(self.marked(feed, mark, 2, unread=2 + unread))

        assert await self.held(under_test) == ([3, 2, 1] if unread else [3, 1])

    async def test_unarchiving_what_was_read_does_not_bring_it_back(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)
        item = a_notification(2, read_at=NOW, version=11)
        after = replace(feed, version=11)

        await under_test.apply(Marked(after, 10, Mark.UNARCHIVED, LATER, (item,)))

        assert await self.held(under_test) == [1]
        assert (await self.hit(under_test)).feed == after

    async def test_a_choice_changes_the_position_and_nothing_else(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1, 2)

        change = self.chosen(feed)
        await under_test.apply(change)

        assert await self.held(under_test) == [2, 1]
        assert (await self.hit(under_test)).feed == change.feed

    async def test_a_choice_that_does_not_follow_drops_the_entry(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)

        await under_test.apply(self.chosen(replace(feed, version=feed.version + 1)))

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_a_gap_drops_the_entry(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)

        await under_test.apply(self.added(replace(feed, version=feed.version + 1), 2))

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_a_change_that_is_known_already_is_ignored(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)
        known = self.added(replace(feed, version=feed.version - 1, unread_count=0), 2)

        await under_test.apply(known)

        assert await self.held(under_test) == [1]
        assert (await self.hit(under_test)).feed == feed

    async def test_a_change_repeated_is_applied_once(self, under_test: IndexUnderTest) -> None:
        change = self.added(await self.load(under_test, 1), 2)

        await under_test.apply(change)
        await under_test.apply(change)

        assert await self.held(under_test) == [2, 1]
        assert (await self.hit(under_test)).feed == change.feed

    async def test_a_change_that_names_nothing_drops_the_entry(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)

        after = replace(feed, version=feed.version + 1, unread_count=0)
        await under_test.apply(Marked(after, feed.version, Mark.READ, LATER, None, up_to=10))

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_a_bare_position_ahead_drops_the_entry(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)

        await under_test.apply(Settled(replace(feed, version=feed.version + 1)))

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    @pytest.mark.parametrize("behind", [0, 1])
    async def test_a_bare_position_that_is_reached_changes_nothing(
        self, under_test: IndexUnderTest, behind: int
    ) -> None:
        feed = await self.load(under_test, 1)

        await under_test.apply(Settled(replace(feed, version=feed.version - behind)))

        assert await self.held(under_test) == [1]

    async def test_another_life_of_the_feed_drops_the_entry(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1)

        await under_test.apply(self.added(replace(feed, epoch="e2"), 2))

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_a_change_of_a_feed_that_is_missing_leaves_it_missing(
        self, under_test: IndexUnderTest
    ) -> None:
        await under_test.apply(self.added(a_feed(version=0, unread=0), 1))

        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_what_was_forgotten_can_be_loaded_again(self, under_test: IndexUnderTest) -> None:
        await self.load(under_test, 1)
        await under_test.index.forget(ADA)

        await self.load(under_test, 1, 2)

        assert await self.held(under_test) == [2, 1]

    # --- what it holds, to be compared with the truth ---

    async def test_an_entry_is_shown_as_it_is(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1, 2)
        change = self.added(feed, 3)
        await under_test.apply(change)

        assert await under_test.index.entry(ADA) == IndexEntry(
            change.feed, ((an_id(3), 11), (an_id(2), 2), (an_id(1), 1)), complete=True
        )

    async def test_an_entry_that_was_cut_short_says_so(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 7, 8, more=True, unread_count=5_000)

        assert await under_test.index.entry(ADA) == IndexEntry(
            feed, ((an_id(8), 8), (an_id(7), 7)), complete=False
        )

    async def test_looking_at_an_entry_takes_no_lease(self, under_test: IndexUnderTest) -> None:
        assert await under_test.index.entry(ADA) is None

        await self.lease(under_test)

    async def test_what_was_forgotten_is_missing(self, under_test: IndexUnderTest) -> None:
        await self.load(under_test, 1)

        await under_test.index.forget(ADA)
        await under_test.index.forget(BOB)

        assert await under_test.index.entry(ADA) is None
        assert isinstance(await under_test.index.page(ADA, 10, None), Missing)

    async def test_a_lease_outlives_that_its_feed_is_forgotten(self, under_test: IndexUnderTest) -> None:
        lease = await self.lease(under_test)
        await under_test.index.forget(ADA)

        await under_test.index.load(RenderedPage(a_feed(unread=0), [], more=False), lease)

        assert (await self.hit(under_test)).items == []

    async def test_samples_reach_every_feed_that_it_holds(self, under_test: IndexUnderTest) -> None:
        users = {UserId(f"user-{n}") for n in range(7)}
        assert await under_test.index.sample(10) == []
        for user in users:
            found = await under_test.index.page(user, 1, None)
            assert isinstance(found, Missing)
            assert found.lease is not None
            await under_test.index.load(RenderedPage(a_feed(1, 0, user), [], more=False), found.lease)

        samples = [await under_test.index.sample(2) for _ in range(40)]

        assert {user for sample in samples for user in sample} == users
        assert max(map(len, samples)) == 2

    # --- pages ---

    async def test_a_count_alone_needs_no_items(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, 1, 2, more=True, unread_count=5_000)

        assert await self.hit(under_test, limit=0) == RenderedPage(feed, [], more=False)

    @pytest.mark.parametrize(
        ("limit", "before", "shown", "more"),
        [
            (2, None, [5, 4], True),
            (5, None, [5, 4, 3, 2, 1], False),
            (6, None, [5, 4, 3, 2, 1], False),
            (2, 4, [3, 2], True),
            (3, 4, [3, 2, 1], False),
            (9, 1, [], False),
            (9, 99, [5, 4, 3, 2, 1], False),
        ],
    )
    async def test_a_page_begins_below_an_id(
        self, under_test: IndexUnderTest, limit: int, before: int | None, shown: list[int], more: bool
    ) -> None:
        await self.load(under_test, 1, 2, 3, 4, 5)

        assert await self.held(under_test, limit=limit, before=before) == shown
        assert (await self.hit(under_test, limit=limit, before=before)).more is more

    async def test_a_page_may_begin_below_an_id_that_is_not_held(self, under_test: IndexUnderTest) -> None:
        await self.load(under_test, 1, 3)

        assert await self.held(under_test, before=2) == [1]

    async def test_of_a_long_feed_only_the_newest_are_held_with_the_exact_count(
        self, under_test: IndexUnderTest
    ) -> None:
        await self.load(under_test, *range(201, 301), more=True, unread_count=300)

        page = await self.hit(under_test, limit=99)

        assert (len(page.items), page.more, page.feed.unread_count) == (99, True, 300)
        assert isinstance(await under_test.index.page(ADA, 100, None), Missing)

    async def test_beyond_what_is_held_a_later_page_is_missing_without_a_lease(
        self, under_test: IndexUnderTest
    ) -> None:
        await self.load(under_test, *range(201, 301), more=True, unread_count=300)

        assert await under_test.index.page(ADA, 10, an_id(205)) == Missing(None)
        assert await self.held(under_test, limit=3, before=205) == [204, 203, 202]

    async def test_growing_beyond_its_capacity_it_keeps_the_newest(self, under_test: IndexUnderTest) -> None:
        feed = await self.load(under_test, *range(1, 100))

        change = self.added(feed, *range(100, 151))
        await under_test.apply(change)

        assert under_test.index.capacity == 100
        assert await self.held(under_test, limit=99) == list(range(150, 51, -1))
        assert (await self.hit(under_test, limit=0)).feed == change.feed
        assert isinstance(await under_test.index.page(ADA, 100, None), Missing)

    async def test_one_older_than_what_a_cut_entry_holds_is_counted_but_not_kept(
        self, under_test: IndexUnderTest
    ) -> None:
        feed = await self.load(under_test, *range(201, 301), more=True, unread_count=300)

        await under_test.apply(self.marked(feed, Mark.UNREAD, 5, unread=301))

        assert (await self.hit(under_test, limit=0)).feed.unread_count == 301
        assert isinstance(await under_test.index.page(ADA, 2, an_id(203)), Missing)

    async def test_a_cut_entry_of_which_all_was_seen_holds_all_of_it_still(
        self, under_test: IndexUnderTest
    ) -> None:
        feed = await self.load(under_test, 301, 302, more=True, unread_count=300)

        # With one that it does not hold, before and after.
        seen = self.marked(feed, Mark.SEEN, 5, 302, 301, unread=300)
        await under_test.apply(seen)

        page = await self.hit(under_test, limit=1)
        assert (page.feed, page.more) == (seen.feed, True)
        entry = await under_test.index.entry(ADA)
        assert entry is not None
        assert entry.held == ((an_id(302), 302), (an_id(301), 301))

    async def test_a_cut_entry_that_ran_empty_cannot_tell_where_a_new_one_belongs(
        self, under_test: IndexUnderTest
    ) -> None:
        feed = await self.load(under_test, 301, more=True, unread_count=300)
        read = self.marked(feed, Mark.READ, 301, unread=299)
        await under_test.apply(read)

        await under_test.apply(self.marked(read.feed, Mark.UNREAD, 5, unread=300))

        assert isinstance(await under_test.index.page(ADA, 1, None), Missing)


class LiveFeedContract:
    """Needs `live`, and `deliver` that hands frames to it."""

    @staticmethod
    def frame(version: int = 1, user: UserId = ADA, text: str = "{}") -> Frame:
        return Frame(user, "e1", version - 1, version, text)

    async def test_a_subscriber_gets_the_frames_of_its_user(
        self, live: LiveFeed, deliver: Callable[[Sequence[Frame]], None]
    ) -> None:
        async with following(live, ADA) as stream:
            deliver([self.frame(1), self.frame(1, BOB), self.frame(2)])

            received = await stream.next(1)

        assert list(received.frames) == [self.frame(1), self.frame(2)]
        assert not received.missed

    async def test_every_stream_of_a_user_gets_them(
        self, live: LiveFeed, deliver: Callable[[Sequence[Frame]], None]
    ) -> None:
        async with following(live, ADA) as phone, following(live, ADA) as laptop:
            deliver([self.frame()])

            assert list((await phone.next(1)).frames) == list((await laptop.next(1)).frames) == [self.frame()]

    async def test_frames_before_the_subscription_are_not_received(
        self, live: LiveFeed, deliver: Callable[[Sequence[Frame]], None]
    ) -> None:
        deliver([self.frame(1)])
        async with following(live, ADA) as stream:
            deliver([self.frame(2)])

            assert [frame.version for frame in (await stream.next(1)).frames] == [2]

    async def test_streams_come_and_go(
        self, live: LiveFeed, deliver: Callable[[Sequence[Frame]], None]
    ) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(following(live, ADA))
        deliver([self.frame(1)])
        async with following(live, ADA) as stream:
            deliver([self.frame(2)])

            assert [frame.version for frame in (await stream.next(1)).frames] == [2]


class Carrier(Protocol):
    """An announcer with what hears of its announcements, and a way to cut it off."""

    @property
    def announcer(self) -> Announcer: ...

    @property
    def index(self) -> UnreadIndex: ...

    @property
    def live(self) -> LiveFeed: ...

    def cut(self) -> None:
        """From now on nothing can be told."""
        ...

    async def restore(self) -> None:
        """It can again, and what was not told has been."""
        ...


class AnnouncerContract:
    """Needs `carrier`."""

    @staticmethod
    async def frames(stream: Mailbox, count: int = 1) -> list[Frame]:
        """Wait until so many frames have come."""
        found: list[Frame] = []
        async with asyncio.timeout(60):
            while len(found) < count:
                found += (await stream.next(1)).frames
        return found

    @staticmethod
    def added(user: UserId = ADA, version: int = 1, **changes: Any) -> Added:
        item = a_notification(version, user, **changes)
        return Added(a_feed(version, unread=version, user=user), (item,))

    async def test_a_new_notification_arrives_as_a_frame(self, carrier: Carrier) -> None:
        change = self.added(message=AWKWARD_TEXT, metadata=AWKWARD_METADATA)
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([change])

            (frame,) = await self.frames(stream)

        assert (frame.user_id, frame.epoch, frame.prev, frame.version) == (ADA, "e1", 0, 1)
        assert frame.unread_ids == (str(an_id()),)
        assert frame.accepted_at == pytest.approx(NOW.timestamp(), abs=1e-3)
        told = json.loads(frame.text)
        (item,) = told.pop("items")
        assert told == {"type": "notifications", "prev": "e1.0", "cursor": "e1.1", **told_counts(1)}
        assert item["id"] == str(an_id())
        assert (item["message"], item["metadata"]) == (AWKWARD_TEXT, AWKWARD_METADATA)
        assert item["created_at"] == "2026-03-14T09:26:53.589793Z"
        assert (item["version"], item["read_at"], item["user_id"]) == (1, None, "ada")

    @pytest.mark.parametrize("mark", list(Mark))
    async def test_a_mark_arrives_as_a_frame(self, carrier: Carrier, mark: Mark) -> None:
        does = effect_of(mark)
        items = (a_notification(1, version=3), a_notification(2, version=4))
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([Marked(a_feed(4, 0), 2, mark, LATER, items)])

            (frame,) = await self.frames(stream)

        assert json.loads(frame.text) == {
            "type": "update",
            "ids": [str(an_id(1)), str(an_id(2))],
            "set": {does.field: "2026-03-14T09:27:53.589793Z" if does.is_set else None},
            "prev": "e1.2",
            "cursor": "e1.4",
            **told_counts(0),
        }
        assert (frame.prev, frame.version, frame.unread_ids) == (2, 4, ())

    async def test_a_mark_up_to_a_position_arrives_as_a_frame(self, carrier: Carrier) -> None:
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([Marked(a_feed(9, 0), 6, Mark.READ, LATER, None, up_to=5)])

            (frame,) = await self.frames(stream)

        told = json.loads(frame.text)
        assert "ids" not in told
        assert told["type"] == "update"
        assert (told["up_to"], told["prev"], told["cursor"]) == ("e1.5", "e1.6", "e1.9")

    async def test_a_choice_arrives_as_a_frame(self, carrier: Carrier) -> None:
        choices = {"billing": False, "comment": None, "news": True}
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([Chosen(a_feed(7, 1), 6, choices)])

            (frame,) = await self.frames(stream)

        assert json.loads(frame.text) == {
            "type": "update",
            "ids": [],
            "set": {},
            "preferences": choices,
            "prev": "e1.6",
            "cursor": "e1.7",
            **told_counts(1),
        }
        assert (frame.prev, frame.version, frame.unread_ids) == (6, 7, ())

    async def test_a_long_mark_of_a_category_arrives_as_a_bare_position(self, carrier: Carrier) -> None:
        """With `up_to` a client would apply it to all of them."""
        change = Marked(a_feed(9, 0), 6, Mark.READ, LATER, None, up_to=5, category="comment")
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([change])

            (frame,) = await self.frames(stream)

        assert (frame.prev, frame.version, frame.text) == (9, 9, "")

    async def test_an_action_arrives_beside_its_time(self, carrier: Carrier) -> None:
        item = a_notification(1, version=3)
        change = Marked(a_feed(3, 0), 2, Mark.ACTED, LATER, (item,), action="approve")
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([change])

            (frame,) = await self.frames(stream)

        told = json.loads(frame.text)
        assert (told["set"], told["action"]) == ({"acted_at": "2026-03-14T09:27:53.589793Z"}, "approve")

    async def test_a_bare_position_arrives_without_text(self, carrier: Carrier) -> None:
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([Settled(a_feed(5))])

            (frame,) = await self.frames(stream)

        assert (frame.prev, frame.version, frame.text, frame.unread_ids) == (5, 5, "", ())

    async def test_frames_come_in_the_order_of_the_changes(self, carrier: Carrier) -> None:
        async with following(carrier.live, ADA) as stream:
            await carrier.announcer.announce([self.added(version=1), self.added(version=2)])
            await carrier.announcer.announce([self.added(version=3)])

            found = await self.frames(stream, 3)

        assert [frame.version for frame in found] == [1, 2, 3]

    async def test_nobody_hears_of_anothers_feed(self, carrier: Carrier) -> None:
        async with following(carrier.live, ADA) as ada, following(carrier.live, BOB) as bob:
            await carrier.announcer.announce([self.added(ADA), self.added(BOB)])

            assert [frame.user_id for frame in await self.frames(ada)] == [ADA]
            assert [frame.user_id for frame in await self.frames(bob)] == [BOB]

    async def test_nothing_to_announce_is_fine(self, carrier: Carrier) -> None:
        await carrier.announcer.announce([])

    async def test_when_a_frame_arrives_the_index_knows_of_it(self, carrier: Carrier) -> None:
        missing = await carrier.index.page(ADA, 10, None)
        assert isinstance(missing, Missing)
        assert missing.lease is not None
        await carrier.index.load(RenderedPage(a_feed(0, 0), [], more=False), missing.lease)
        async with following(carrier.live, ADA) as stream:
            announcing = asyncio.create_task(carrier.announcer.announce([self.added()]))
            await self.frames(stream)

            page = await carrier.index.page(ADA, 10, None)
            await announcing

        assert isinstance(page, RenderedPage)
        assert (page.feed, len(page.items)) == (a_feed(1, 1), 1)

    async def test_what_could_not_be_told_is_told_later_as_a_position(self, carrier: Carrier) -> None:
        async with following(carrier.live, ADA) as ada, following(carrier.live, BOB) as bob:
            carrier.cut()
            await carrier.announcer.announce([self.added(ADA, 1), self.added(BOB, 1)])
            await carrier.announcer.announce([self.added(ADA, 2)])
            await carrier.restore()

            (for_ada,) = await self.frames(ada)
            (for_bob,) = await self.frames(bob)

        assert (for_ada.version, for_ada.text) == (2, "")
        assert (for_bob.version, for_bob.text) == (1, "")

    async def test_the_index_forgets_what_it_was_not_told_of(self, carrier: Carrier) -> None:
        missing = await carrier.index.page(ADA, 10, None)
        assert isinstance(missing, Missing)
        assert missing.lease is not None
        await carrier.index.load(RenderedPage(a_feed(0, 0), [], more=False), missing.lease)
        carrier.cut()
        await carrier.announcer.announce([self.added()])
        await carrier.restore()

        assert isinstance(await carrier.index.page(ADA, 10, None), Missing)


class QueueContract:
    """Needs `queue`, and `arrived` that returns what can be read of it, oldest first."""

    async def test_what_was_put_arrives_as_it_was(
        self, queue: NotificationQueue, arrived: Callable[[int], Any]
    ) -> None:
        draft = a_draft(
            title="Title", message=AWKWARD_TEXT, metadata=AWKWARD_METADATA, action_url="/a", expires_at=LATER
        )
        draft = replace(draft, key_id="0123456789ab")

        await queue.put(draft)

        assert await arrived(1) == [draft]

    async def test_drafts_of_one_user_stay_in_order(
        self, queue: NotificationQueue, arrived: Callable[[int], Any]
    ) -> None:
        batch = [draft for n in range(1, 21) for draft in (a_draft(n), a_draft(n, BOB))]

        assert await queue.put_all(batch) == [None] * 40

        found: list[Draft] = await arrived(40)
        for user in (ADA, BOB):
            mine = [draft.id for draft in found if draft.content.user_id == user]
            assert mine == [an_id(n) for n in range(1, 21)]

    async def test_nothing_can_be_put(self, queue: NotificationQueue) -> None:
        assert list(await queue.put_all([])) == []


class IdempotencyKeysContract:
    """Needs `keys`."""

    async def test_a_new_key_stands_for_the_id_that_came_with_it(self, keys: IdempotencyKeys) -> None:
        assert await keys.claim("producer", "key", "print", an_id(1)) == an_id(1)

    async def test_a_key_stands_for_its_first_id(self, keys: IdempotencyKeys) -> None:
        await keys.claim("producer", "key", "print", an_id(1))

        assert await keys.claim("producer", "key", "print", an_id(2)) == an_id(1)

    async def test_a_key_with_another_body_is_refused(self, keys: IdempotencyKeys) -> None:
        await keys.claim("producer", "key", "print", an_id(1))

        with pytest.raises(KeyReused):
            await keys.claim("producer", "key", "another", an_id(2))

        assert await keys.claim("producer", "key", "print", an_id(3)) == an_id(1)

    async def test_producers_do_not_share_keys(self, keys: IdempotencyKeys) -> None:
        await keys.claim("producer", "key", "print", an_id(1))

        assert await keys.claim("another", "key", "another", an_id(2)) == an_id(2)

    @pytest.mark.parametrize("key", ["", "a:b", "k" * 255, "\x00\xff", "ключ", "*"])
    async def test_any_text_can_be_a_key(self, keys: IdempotencyKeys, key: str) -> None:
        await keys.claim("producer", key, "print", an_id(1))

        assert await keys.claim("producer", key, "print", an_id(2)) == an_id(1)
        assert await keys.claim("producer", f"{key}.", "print", an_id(3)) == an_id(3)

    async def test_of_many_claims_at_once_one_wins(self, keys: IdempotencyKeys) -> None:
        won = await asyncio.gather(*(keys.claim("producer", "key", "print", an_id(n)) for n in range(10)))

        assert len(set(won)) == 1


class RevokedTokensContract:
    """Needs `revoked_tokens`."""

    FAR = datetime(2999, 1, 1, tzinfo=UTC)
    PAST = datetime(2020, 1, 1, tzinfo=UTC)

    @staticmethod
    async def found(revoked_tokens: RevokedTokens, since: datetime | None = None) -> dict[str, datetime]:
        tokens = (await revoked_tokens.latest(since)).tokens
        by_id = {token.token_id: token.expires_at for token in tokens}
        assert len(by_id) == len(tokens)
        return by_id

    async def test_nothing_is_revoked_at_first(self, revoked_tokens: RevokedTokens) -> None:
        assert await self.found(revoked_tokens) == {}

    async def test_what_was_revoked_is_known_until_it_expires(self, revoked_tokens: RevokedTokens) -> None:
        await revoked_tokens.add(RevokedToken("good", self.FAR))
        await revoked_tokens.add(RevokedToken("gone", self.PAST))

        assert await self.found(revoked_tokens) == {"good": self.FAR}

    async def test_of_two_expiries_the_later_counts(self, revoked_tokens: RevokedTokens) -> None:
        for expires_at in (self.PAST, self.FAR, self.PAST, self.FAR - timedelta(days=1)):
            await revoked_tokens.add(RevokedToken("one", expires_at))

        assert await self.found(revoked_tokens) == {"one": self.FAR}

    async def test_only_what_is_new_is_returned(self, revoked_tokens: RevokedTokens) -> None:
        await revoked_tokens.add(RevokedToken("one", self.FAR))
        since = (await revoked_tokens.latest(None)).as_of

        assert await self.found(revoked_tokens, since + timedelta(seconds=60)) == {}
        assert await self.found(revoked_tokens, since - timedelta(seconds=60)) == {"one": self.FAR}

    async def test_what_expired_is_forgotten_and_the_rest_is_not(self, revoked_tokens: RevokedTokens) -> None:
        for number in range(3):
            await revoked_tokens.add(RevokedToken(f"gone {number}", self.PAST))
        await revoked_tokens.add(RevokedToken("good", self.FAR))

        pruned = [await revoked_tokens.prune() for _ in range(4)]

        assert (sum(pruned), pruned[-1]) == (3, 0)
        assert await self.found(revoked_tokens) == {"good": self.FAR}


class StagesContract:
    """Needs `stages`."""

    async def test_what_was_noted_first_stays(self, stages: Stages) -> None:
        await self.noted(stages, "stored", [an_id(1), an_id(2)], NOW)
        await self.noted(stages, "indexed", [an_id(1)], LATER)
        await self.noted(stages, "stored", [an_id(1), an_id(3)], LATER)

        assert await stages.of(an_id(1)) == {"stored": NOW, "indexed": LATER}
        assert await stages.of(an_id(2)) == {"stored": NOW}
        assert await stages.of(an_id(4)) == {}

    async def noted(self, stages: Stages, stage: Stage, ids: Sequence[NotificationId], at: datetime) -> None:
        """Note it until it is known of the last: a note may be lost."""

        async def is_known() -> bool:
            stages.note(stage, ids, at)
            with suppress(Unavailable):
                return stage in await stages.of(ids[-1])
            return False

        await eventually(is_known, "a stage is noted")


class TicketsContract:
    """Needs `tickets`."""

    CLAIMS = Claims(UserId("A.b_c:d@e-9"), LATER, NOW, "0123456789abcdef0123456789abcdef")

    async def test_a_ticket_admits_whom_it_was_issued_for(self, tickets: Tickets) -> None:
        assert await tickets.redeem(await tickets.issue(self.CLAIMS)) == self.CLAIMS

    async def test_a_ticket_admits_once(self, tickets: Tickets) -> None:
        ticket = await tickets.issue(self.CLAIMS)
        await tickets.redeem(ticket)

        with pytest.raises(NotAuthenticated):
            await tickets.redeem(ticket)

    async def test_of_many_attempts_at_once_one_is_admitted(self, tickets: Tickets) -> None:
        ticket = await tickets.issue(self.CLAIMS)

        outcomes = await asyncio.gather(*(tickets.redeem(ticket) for _ in range(8)), return_exceptions=True)

        assert sum(isinstance(outcome, Claims) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, NotAuthenticated) for outcome in outcomes) == 7

    @pytest.mark.parametrize("ticket", ["", "never issued", "*", "\x00", "a" * 10_000])
    async def test_what_is_no_ticket_admits_nobody(self, tickets: Tickets, ticket: str) -> None:
        await tickets.issue(self.CLAIMS)

        with pytest.raises(NotAuthenticated):
            await tickets.redeem(ticket)

    async def test_no_two_tickets_are_alike(self, tickets: Tickets) -> None:
        assert len({await tickets.issue(self.CLAIMS) for _ in range(10)}) == 10

    async def test_tickets_live_for_half_a_minute(self, tickets: Tickets) -> None:
        assert tickets.lifetime == 30


class TokensContract:
    """Needs `tokens` with a lifetime of an hour."""

    async def test_a_token_speaks_for_its_user_until_it_expires(self, tokens: Tokens) -> None:
        token, seconds = tokens.mint(UserId("A.b_c:d@e-9"), NOW)

        claims = tokens.verify(token, NOW)

        assert seconds == 3600
        assert claims.user_id == "A.b_c:d@e-9"
        assert NOW + timedelta(minutes=59) < claims.expires_at <= NOW + timedelta(hours=1)

    @pytest.mark.parametrize("microsecond", [0, 1, 499_999, 500_000, 999_999])
    async def test_a_token_says_to_the_microsecond_when_it_was_issued(
        self, tokens: Tokens, microsecond: int
    ) -> None:
        """Or one that is minted right after the others were revoked would look as if it were among them."""
        at = NOW.replace(microsecond=microsecond)

        assert tokens.verify(tokens.mint(ADA, at)[0], at).issued_at == at

    @pytest.mark.parametrize("verified_before", [False, True])
    async def test_an_expired_token_is_refused(self, tokens: Tokens, verified_before: bool) -> None:
        token, _ = tokens.mint(ADA, NOW)
        expires_at = tokens.verify(token, NOW).expires_at if verified_before else NOW + timedelta(hours=1)

        with pytest.raises(NotAuthenticated):
            tokens.verify(token, expires_at)

    async def test_a_token_is_good_to_the_last_moment(self, tokens: Tokens) -> None:
        token, _ = tokens.mint(ADA, NOW)
        expires_at = tokens.verify(token, NOW).expires_at

        assert tokens.verify(token, expires_at - timedelta(microseconds=1)).user_id == ADA

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "\x00", "ü", "a" * 10_000])
    async def test_what_is_no_token_is_refused(self, tokens: Tokens, token: str) -> None:
        with pytest.raises(NotAuthenticated):
            tokens.verify(token, NOW)


class TextFormsContract:
    """Needs `forms`."""

    @pytest.mark.parametrize(
        ("typed", "form"),
        [
            ("Ada+News@Example.COM", "ada+news@example.com"),
            ("o'brien_{x}|y@a_host", "o'brien_{x}|y@a_host"),
            ("ada@[IPv6:::1]", "ada@[ipv6:::1]"),
            (" ada@example.com.\n", "ada@example.com"),
            ("zoe\u0301@example.com", "zo\u00e9@example.com"),
            ("\u212aelvin@example.com", "kelvin@example.com"),
            (
                "\uff41\uff44\uff41\uff20\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45\uff0e\uff43\uff4f\uff4d",
                "ada@example.com",
            ),
            ("\uff76\uff9e@example.com", "\u30ac@example.com"),
            ("\u1100\u1161@\u1112\u1161\u11ab.example", "\uac00@\ud55c.example"),
            ("ada@B\u00dcCHER.example", "ada@b\u00fccher.example"),
            ("ada@bu\u0308cher.example", "ada@b\u00fccher.example"),
            ("ada@XN--bcher-kva.example", "ada@b\u00fccher.example"),
            ("ada@\uff38\uff2e\uff0d\uff0dbcher-kva.example", "ada@b\u00fccher.example"),
            ("ada@fa\u00df.example", "ada@fa\u00df.example"),
            ("ada@fass.example", "ada@fass.example"),
            ("ada@a\u3002b\uff61c", "ada@a.b.c"),
            ("ada@xn--i-7iq.ws", "ada@xn--i-7iq.ws"),
            ("\u05d0\u05d1@\u05d0\u05d1.example", "\u05d0\u05d1@\u05d0\u05d1.example"),
        ],
    )
    def test_an_address_has_one_form(self, forms: TextForms, typed: str, form: str) -> None:
        assert forms.email(typed) == form
        assert forms.email(form) == form

    @pytest.mark.parametrize(
        "typed",
        [
            "",
            "ada",
            "@",
            "ada@",
            "@example.com",
            "ada@.",
            "ada@a..b",
            "ada@a\u3002\u3002\u00fc",
            "ad\u200ba@example.com",
            "ad\u00ada@example.com",
            "ada\ufe0f@example.com",
            "ada@exam\u200bple.com",
            "ada@exam\u00adple.com",
            "ada@\u00fc\u2060.com",
            "\u202eada@example.com",
            "a\x00da@example.com",
            "a\x1bda@example.com",
            "ada@exam\x00ple.com",
            "ad\ud800@example.com",
            "ada@\udfff.com",
            "ad a@example.com",
            "ad\u3000a@example.com",
            "ada@exam ple.com",
            "ada@ex\u00a0ample.com",
            "\u2764@example.com",
            "ada@i\u2764.ws",
            "ada@-\u00fc.example",
            "ada@" + "\u00fc" * 64 + ".example",
            "ada@ex\ufe6bample.com",
            "1\u05d0@example.com",
            "\ufb01@example.com",
            "\u0378@example.com",
            "a" * 1024 + "@example.com",
        ],
    )
    def test_what_is_no_address_is_refused_with_its_field(self, forms: TextForms, typed: str) -> None:
        with pytest.raises(Invalid) as caught:
            forms.email(typed)

        (error,) = caught.value.errors
        assert error.field == "email"
        assert error.message.startswith("must be an e-mail address")

    def test_who_is_refused_for_a_character_that_nobody_sees_is_told_which(self, forms: TextForms) -> None:
        with pytest.raises(Invalid, match=r"U\+200B"):
            forms.email("ad\u200ba@example.com")

    @pytest.mark.parametrize(
        ("typed", "form"),
        [
            ("Correct horse", "Correct horse"),
            (" correct  horse ", " correct  horse "),
            ("correct\u00a0horse\u3000", "correct horse "),
            ("de\u0301ja\u0300 vu", "d\u00e9j\u00e0 vu"),
            ("\u1100\u1161\u11a8", "\uac01"),
            ("\u212b", "\u00c5"),
            ("\ufb01\uff21\u2460", "\ufb01\uff21\u2460"),
            ("\U0001f469\u2764", "\U0001f469\u2764"),
            ("\u0660\u0661\u0660", "\u0660\u0661\u0660"),
            ("\u30fb\u30a2\u30fb", "\u30fb\u30a2\u30fb"),
            ("\u0958" * 256, "\u0915\u093c" * 256),
        ],
    )
    def test_a_password_has_one_form(self, forms: TextForms, typed: str, form: str) -> None:
        assert forms.password(typed) == form
        assert forms.password(form) == form

    @pytest.mark.parametrize(
        "typed",
        [
            "",
            "secret\x00",
            "secret\t",
            "secret\x7f",
            "secret\x85",
            "secret\u200b",
            "secret\u00ad",
            "secret\ufe0f",
            "secret\U0001f469\u200d\U0001f4bb",
            "secret\ud800",
            "secret\ufffe",
            "secret\ue000",
            "secret\u0378",
            "secret\u0660\u06f0",
            "secret\u30fb\u30fb",
            "secret" * 200,
        ],
    )
    def test_what_is_no_password_is_refused_without_showing_it(self, forms: TextForms, typed: str) -> None:
        with pytest.raises(Invalid) as caught:
            forms.password(typed)

        (error,) = caught.value.errors
        assert error.field == "password"
        assert "secret" not in "".join(format_exception(caught.value))


class PasswordsContract:
    """Needs `passwords`."""

    async def test_the_right_password_is_right_and_another_is_not(self, passwords: Passwords) -> None:
        held = await passwords.hash("correct horse")

        assert await passwords.verify("correct horse", held)
        assert not await passwords.verify("correct horse ", held)

    async def test_a_hash_does_not_show_the_password(self, passwords: Passwords) -> None:
        assert "correct horse" not in await passwords.hash("correct horse")

    async def test_without_a_hash_no_password_is_right(self, passwords: Passwords) -> None:
        assert not await passwords.verify("the password of nobody", None)
        assert not await passwords.verify("", None)

    async def test_passwords_beyond_ascii_are_kept_apart(self, passwords: Passwords) -> None:
        held = await passwords.hash("pässwörd 👩")

        assert await passwords.verify("pässwörd 👩", held)
        assert not await passwords.verify("password 👩", held)


class CategoriesContract:
    """Needs `categories`."""

    async def test_new_names_are_entered_and_stored_as_themselves(self, categories: Categories) -> None:
        assert await categories.all() == []

        stored = await categories.enter(["comment", "billing", "comment"])

        assert stored == {"comment": "comment", "billing": "billing"}
        assert await categories.all() == [Category(id="billing"), Category(id="comment")]

    async def test_no_names_enter_nothing(self, categories: Categories) -> None:
        assert await categories.enter([]) == {}
        assert await categories.all() == []

    async def test_entering_again_changes_nothing(self, categories: Categories) -> None:
        refined = Category(
            id="billing",
            title="Invoices",
            description="What you owe.",
            mandatory=True,
            default_on=False,
            expires_after=timedelta(days=40, seconds=1),
        )
        await categories.enter(["billing"])
        assert await categories.set(refined)

        await categories.enter(["billing"])

        assert await categories.all() == [refined]

    async def test_setting_one_twice_leaves_the_last(self, categories: Categories) -> None:
        await categories.set(Category(id="billing", title="Invoices", mandatory=True))
        await categories.set(Category(id="billing", default_on=False))

        assert await categories.all() == [Category(id="billing", default_on=False)]

    async def test_beyond_the_most_they_are_stored_as_other(self, categories: Categories) -> None:
        names = [f"c{number}" for number in range(CATEGORIES)]
        await categories.enter(names[:-2])

        stored = await categories.enter([*names[-2:], "late", "later"])

        assert stored == {name: name for name in names[-2:]} | {"late": OTHER, "later": OTHER}
        assert [one.id for one in await categories.all()] == sorted([*names, OTHER])
        assert await categories.enter(["late", "c0", OTHER]) == {"late": OTHER, "c0": "c0", OTHER: OTHER}

    async def test_other_takes_no_place_of_theirs(self, categories: Categories) -> None:
        names = [f"c{number}" for number in range(CATEGORIES)]

        stored = await categories.enter([OTHER, *names])

        assert stored == {name: name for name in [OTHER, *names]}
        assert len(await categories.all()) == CATEGORIES + 1

    async def test_the_operator_declares_no_more_than_that_either(self, categories: Categories) -> None:
        assert await categories.set(Category(id="declared"))
        await categories.enter([f"c{number}" for number in range(CATEGORIES - 1)])

        assert not await categories.set(Category(id="late"))
        assert await categories.set(Category(id=OTHER, title="The rest"))
        assert await categories.set(Category(id="declared", title="Known"))
        assert "late" not in {one.id for one in await categories.all()}

    async def test_those_that_enter_at_once_exceed_nothing(self, categories: Categories) -> None:
        parts = [[f"{part}-{number}" for number in range(10)] for part in range(10)]

        stored = await asyncio.gather(*map(categories.enter, parts))

        held = {one.id for one in await categories.all()}
        assert len(held) == CATEGORIES + 1
        assert {category for part in stored for category in part.values()} == held


class ApiKeysContract:
    """Needs `keys`."""

    KEY = ApiKey(
        id="0a1b2c",
        name="Billing ﷽",
        secret_hash=bytes(range(32)),
        scopes=frozenset({"publish", "users"}),
        created_at=NOW,
        expires_at=LATER,
    )

    async def test_a_key_comes_back_as_it_was(self, keys: ApiKeys) -> None:
        await keys.add(self.KEY)

        assert await keys.get(self.KEY.id) == self.KEY
        assert list(await keys.all()) == [self.KEY]

    async def test_an_unknown_key_is_not_there(self, keys: ApiKeys) -> None:
        assert await keys.get("unknown") is None
        assert list(await keys.all()) == []

    async def test_a_key_without_scopes_or_end_comes_back_so(self, keys: ApiKeys) -> None:
        bare = replace(self.KEY, scopes=frozenset(), expires_at=None)
        await keys.add(bare)

        assert await keys.get(bare.id) == bare

    async def test_keys_are_listed_in_the_order_they_were_made(self, keys: ApiKeys) -> None:
        younger = replace(self.KEY, id="younger", created_at=LATER)
        await keys.add(younger)
        await keys.add(self.KEY)

        assert list(await keys.all()) == [self.KEY, younger]

    async def test_a_revoked_key_says_so_and_the_first_time_stays(self, keys: ApiKeys) -> None:
        await keys.add(self.KEY)
        await keys.get(self.KEY.id)

        assert await keys.revoke(self.KEY.id, NOW)
        assert not await keys.revoke(self.KEY.id, LATER)

        assert await keys.get(self.KEY.id) == replace(self.KEY, revoked_at=NOW)

    async def test_revoking_one_leaves_the_others(self, keys: ApiKeys) -> None:
        other = replace(self.KEY, id="other")
        await keys.add(self.KEY)
        await keys.add(other)

        await keys.revoke(self.KEY.id, NOW)

        assert await keys.get("other") == other

    async def test_what_is_no_key_cannot_be_revoked(self, keys: ApiKeys) -> None:
        assert not await keys.revoke("unknown", NOW)

    async def test_the_limits_of_a_key_come_back(self, keys: ApiKeys) -> None:
        limited = replace(self.KEY, user_prefix="acme:", event_prefix="billing.", own_only=True)
        limited = replace(limited, last_used_at=NOW)
        await keys.add(limited)

        assert await keys.get(limited.id) == limited

    async def test_a_replaced_key_names_its_successor_and_ends(self, keys: ApiKeys) -> None:
        successor = replace(self.KEY, id="next", expires_at=None)
        await keys.add(self.KEY)

        assert await keys.replace(self.KEY.id, successor, NOW + timedelta(seconds=1))

        replaced = replace(self.KEY, replaced_by="next", expires_at=NOW + timedelta(seconds=1))
        assert await keys.get(self.KEY.id) == replaced
        assert await keys.get("next") == successor

    @pytest.mark.parametrize(("ends", "then"), [(None, LATER), (NOW + timedelta(seconds=1), None)])
    async def test_a_replaced_key_lives_no_longer_than_it_would_have(
        self, keys: ApiKeys, ends: datetime | None, then: datetime | None
    ) -> None:
        await keys.add(replace(self.KEY, expires_at=ends))

        await keys.replace(self.KEY.id, replace(self.KEY, id="next"), LATER)

        found = await keys.get(self.KEY.id)
        assert found is not None
        assert found.expires_at == (then or ends)

    @pytest.mark.parametrize("change", ["unknown", "replaced", "revoked", "expired"])
    async def test_a_key_that_is_not_in_use_is_not_replaced(self, keys: ApiKeys, change: str) -> None:
        await keys.add(self.KEY)
        if change == "replaced":
            await keys.replace(self.KEY.id, replace(self.KEY, id="first"), LATER)
        if change == "revoked":
            await keys.revoke(self.KEY.id, NOW)
        at = LATER if change == "expired" else NOW
        held = await keys.get(self.KEY.id)

        wanted = "unknown" if change == "unknown" else self.KEY.id
        assert not await keys.replace(wanted, replace(self.KEY, id="next", created_at=at), LATER)

        assert await keys.get("next") is None
        assert await keys.get(self.KEY.id) == held

    async def test_every_key_is_new_at_first_and_then_those_that_changed(self, keys: ApiKeys) -> None:
        await keys.add(self.KEY)
        first = await keys.changed(None)
        second = await keys.changed(first.as_of)
        await keys.revoke(self.KEY.id, NOW)
        await keys.add(replace(self.KEY, id="other"))
        third = await keys.changed(first.as_of)

        assert list(first.keys) == [self.KEY]
        assert {key.id for key in second.keys} <= {self.KEY.id}
        assert {key.id: key.revoked_at for key in third.keys} == {self.KEY.id: NOW, "other": None}

    async def test_a_use_is_stored_once_a_minute(self, keys: ApiKeys) -> None:
        await keys.add(self.KEY)
        await keys.add(replace(self.KEY, id="other"))
        stored = []
        for seconds in (0, 59, 60):
            await keys.note_uses({self.KEY.id: NOW + timedelta(seconds=seconds)})
            found = await keys.get(self.KEY.id)
            assert found is not None
            stored.append(found.last_used_at)

        assert stored == [NOW, NOW, NOW + timedelta(seconds=60)]
        assert await keys.get("other") == replace(self.KEY, id="other")


__all__ = [name for name in globals() if name.endswith("Contract")]
