"""What the demo notes of notifications."""

import pytest

from application.delivery import StoreNotifications
from application.errors import Unavailable, Unconfirmed
from application.noting import NotingQueue
from tests.build import ADA, NOW, a_draft, a_user, an_id, drafts
from tests.wiring import Memory


@pytest.fixture
async def memory() -> Memory:
    memory = Memory()
    await memory.users.add(a_user(ADA), None)
    return memory


@pytest.fixture
def store(memory: Memory) -> StoreNotifications:
    return memory.container(demo=True).store()


async def test_what_is_stored_and_announced_is_noted_when_it_is(
    memory: Memory, store: StoreNotifications
) -> None:
    stored = await store(drafts(2))
    memory.clock.advance(seconds=1)
    assert await memory.stages.of(an_id(2)) == {"stored": NOW}

    await store.announce(stored)

    assert await memory.stages.of(an_id(2)) == {"stored": NOW, "indexed": memory.clock()}


async def test_a_redelivery_changes_no_time(memory: Memory, store: StoreNotifications) -> None:
    await store.announce(await store(drafts(1)))
    noted = await memory.stages.of(an_id(1))
    memory.clock.advance(seconds=1)

    await store.announce(await store(drafts(1)))

    assert await memory.stages.of(an_id(1)) == noted


async def test_what_the_store_does_not_take_is_not_noted(memory: Memory, store: StoreNotifications) -> None:
    memory.feeds.away = True

    with pytest.raises(Unavailable):
        await store(drafts(1))

    assert await memory.stages.of(an_id(1)) == {}


async def test_what_the_queue_accepts_is_noted(memory: Memory) -> None:
    queue = NotingQueue(memory.queue, memory.stages, memory.clock)

    await queue.put(a_draft(1))
    errors = await queue.put_all([a_draft(2), a_draft(3)])

    assert errors == [None, None]
    assert memory.queue.held == [a_draft(1), a_draft(2), a_draft(3)]
    for number in (1, 2, 3):
        assert await memory.stages.of(an_id(number)) == {"accepted": memory.clock()}


async def test_what_the_queue_does_not_confirm_is_not_noted(memory: Memory) -> None:
    queue = NotingQueue(memory.queue, memory.stages, memory.clock)
    memory.queue.unconfirmed = {an_id(1)}

    with pytest.raises(Unconfirmed):
        await queue.put(a_draft(1))
    await queue.put_all([a_draft(1), a_draft(2)])

    assert await memory.stages.of(an_id(1)) == {}
    assert await memory.stages.of(an_id(2)) == {"accepted": NOW}
