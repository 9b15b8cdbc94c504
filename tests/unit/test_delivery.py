"""From the queue into the feeds, and out to their followers."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from application.delivery import MarkDue, StoreNotifications
from application.errors import Refused, Unavailable
from application.feeds import Appended
from domain.feed import Added, Marked, Settled
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft
from domain.states import Status
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id, drafts
from tests.wiring import Memory


@pytest.fixture
async def memory() -> Memory:
    memory = Memory()
    for user in (ADA, BOB):
        await memory.users.add(a_user(user), None)
    return memory


@pytest.fixture
def store(memory: Memory) -> StoreNotifications:
    return memory.container().store()


@pytest.fixture
def retract(memory: Memory) -> MarkDue:
    return memory.container().mark_due()


async def stored_ids(memory: Memory, user: UserId = ADA) -> list[NotificationId]:
    return [item.id for item in (await memory.feeds.history(user, 0, 1_000)).notifications]


async def test_what_is_stored_is_told_apart_from_announcing_it(
    memory: Memory, store: StoreNotifications
) -> None:
    stored = await store(drafts(2))
    assert memory.announcer.announced == []

    await store.announce(stored)

    assert memory.announcer.announced == list(stored.appended.added)
    assert await stored_ids(memory) == [an_id(1), an_id(2)]


async def test_nothing_to_store_is_nothing_to_announce(memory: Memory, store: StoreNotifications) -> None:
    stored = await store([])
    await store.announce(stored)

    assert stored.appended == Appended()
    assert memory.announcer.announced == []


async def test_what_is_dated_too_far_ahead_is_refused_alone(
    memory: Memory, store: StoreNotifications
) -> None:
    """It would be on top of its list until then."""
    late = a_draft(2, at=NOW.replace(year=9000))
    disguised = Draft(late.id, NOW, late.content)

    stored = await store([a_draft(1), late, disguised, a_draft(3, at=NOW + timedelta(hours=23))])

    assert [(draft, error.code) for draft, error in stored.refused] == [
        (late, "invalid"),
        (disguised, "invalid"),
    ]
    assert "created_at must not be more than a day ahead" in stored.refused[0][1].detail
    assert len(await stored_ids(memory)) == 2


@pytest.mark.parametrize("bad", [[1], [8], [4, 5], [1, 8], [1, 2, 3, 4, 5, 6, 7, 8], []])
async def test_exactly_the_refused_drafts_are_left_out_in_order(
    memory: Memory, store: StoreNotifications, bad: Sequence[int]
) -> None:
    memory.feeds.refused = {an_id(n) for n in bad}
    batch = drafts(8)

    stored = await store(batch)

    assert [draft for draft, _ in stored.refused] == [batch[n - 1] for n in bad]
    assert all(isinstance(reason, Refused) for _, reason in stored.refused)
    assert await stored_ids(memory) == [draft.id for draft in batch if draft.id not in memory.feeds.refused]


async def test_a_batch_with_a_refused_draft_is_announced_in_version_order(
    memory: Memory, store: StoreNotifications
) -> None:
    memory.feeds.refused = {an_id(5)}

    await store.announce(await store(drafts(8)))

    changes = [change for change in memory.announcer.announced if isinstance(change, Added)]
    assert changes[0].prev == 0
    assert [after.prev for after in changes[1:]] == [before.feed.version for before in changes[:-1]]
    assert changes[-1].feed.version == 7


async def test_what_was_there_is_announced_before_what_is_new(
    memory: Memory, store: StoreNotifications
) -> None:
    await store(drafts(2))
    before = await memory.feeds.feed(ADA)

    await store.announce(await store([*drafts(3), a_draft(1, BOB)]))

    first, *rest = memory.announcer.announced
    assert first == Settled(before)
    assert {change.feed.user_id for change in rest if isinstance(change, Added)} == {ADA, BOB}


async def test_one_who_died_before_announcing_is_made_good_for_by_the_redelivery(
    memory: Memory, store: StoreNotifications
) -> None:
    fetch = memory.container().fetch_unread()
    await fetch(ADA, 10)
    await store(drafts(1))
    assert (await fetch(ADA, 10)).feed.version == 0

    await store.announce(await store(drafts(1)))

    assert (await fetch(ADA, 10)).feed.version == 1


async def test_drafts_for_unknown_users_are_handed_back(memory: Memory, store: StoreNotifications) -> None:
    stranger: Draft = a_draft(1, UserId("nobody"))

    stored = await store([stranger, a_draft(2)])

    assert stored.appended.unknown == (stranger,)
    assert await stored_ids(memory) == [an_id(2)]


async def test_with_the_store_away_nothing_is_refused(memory: Memory, store: StoreNotifications) -> None:
    memory.feeds.away = True

    with pytest.raises(Unavailable):
        await store(drafts(4))


# --- what expires ---


async def test_what_has_expired_is_taken_back_and_announced(
    memory: Memory, store: StoreNotifications, retract: MarkDue
) -> None:
    await store(
        [
            a_draft(1, expires_at=LATER),
            a_draft(2, expires_at=LATER + timedelta(seconds=1)),
            a_draft(3),
            a_draft(1, BOB, expires_at=LATER - timedelta(seconds=1)),
        ]
    )
    memory.clock.at = LATER

    assert await retract() == 2

    changes = [change for change in memory.announcer.announced if isinstance(change, Marked)]
    assert {(change.feed.user_id, change.ids) for change in changes} == {
        (ADA, (an_id(1),)),
        (BOB, (an_id(1),)),
    }
    left = await memory.feeds.page(ADA, Status.ALL, limit=10)
    assert [item.id for item in left.notifications] == [an_id(3), an_id(2)]
    assert left.feed.unread_count == 2


async def test_what_was_taken_back_is_not_taken_back_again(
    memory: Memory, store: StoreNotifications, retract: MarkDue
) -> None:
    await store([a_draft(1, expires_at=LATER)])
    memory.clock.at = LATER
    await retract()
    announced = len(memory.announcer.announced)

    assert await retract() == 0
    assert len(memory.announcer.announced) == announced


async def test_no_more_is_taken_back_at_once_than_told(
    memory: Memory, store: StoreNotifications, retract: MarkDue
) -> None:
    await store([a_draft(n, expires_at=LATER) for n in range(1, 6)])
    memory.clock.at = LATER

    assert [await retract(2), await retract(2), await retract(2), await retract(2)] == [2, 2, 1, 0]
