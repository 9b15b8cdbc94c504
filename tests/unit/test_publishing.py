"""From a producer's request into the queue."""

from functools import partial
from typing import Any, TypeAlias

import pytest

from application.errors import KeyReused, Unavailable, Unconfirmed
from application.publishing import Idempotency, nth_id
from domain.errors import DomainError, FieldError, Invalid, UnknownUser
from domain.identifiers import UserId
from domain.notification import Content, Draft
from tests.build import ADA, BOB, LATER, NOW, a_content, a_user, an_api_key, an_id
from tests.wiring import Memory

Publish: TypeAlias = partial[Any]
"""A use case, with the key of a producer."""

SENDER = an_api_key()
KEY = Idempotency("producer", "key", "print")


@pytest.fixture
async def memory() -> Memory:
    memory = Memory()
    for user in (ADA, BOB):
        await memory.users.add(a_user(user), None)
    return memory


@pytest.fixture
def publish(memory: Memory) -> Publish:
    return partial(memory.container().publish(), SENDER)


@pytest.fixture
def publish_batch(memory: Memory) -> Publish:
    return partial(memory.container().publish_batch(), SENDER)


async def test_what_is_accepted_is_in_the_queue_under_its_id(memory: Memory, publish: Publish) -> None:
    accepted = await publish(a_content())

    assert memory.queue.held == [Draft(accepted, NOW, a_content(), SENDER.id)]


async def test_for_a_stranger_nothing_is_accepted(memory: Memory, publish: Publish) -> None:
    with pytest.raises(UnknownUser):
        await publish(a_content(UserId("nobody")))

    assert memory.queue.held == []


async def test_with_the_users_away_nobody_is_called_a_stranger(memory: Memory, publish: Publish) -> None:
    memory.users.away = True

    accepted = await publish(a_content(UserId("nobody")))

    assert [draft.id for draft in memory.queue.held] == [accepted]


@pytest.mark.parametrize("expires_at", [NOW, NOW.replace(year=2000)])
async def test_what_has_expired_is_not_accepted(memory: Memory, publish: Publish, expires_at: object) -> None:
    with pytest.raises(Invalid) as caught:
        await publish(a_content(expires_at=expires_at))

    assert caught.value.errors == (FieldError("expires_at", "must be in the future"),)
    assert memory.queue.held == []


async def test_what_will_expire_is_accepted(memory: Memory, publish: Publish) -> None:
    await publish(a_content(expires_at=LATER))

    assert memory.queue.held[0].content.expires_at == LATER


async def test_the_same_key_and_body_give_the_same_id(memory: Memory, publish: Publish) -> None:
    first = await publish(a_content(), KEY)
    memory.clock.advance(hours=1)

    assert await publish(a_content(), KEY) == first


async def test_the_same_key_with_another_body_is_refused(memory: Memory, publish: Publish) -> None:
    await publish(a_content(), KEY)

    with pytest.raises(KeyReused):
        await publish(a_content(message="else"), Idempotency("producer", "key", "another print"))

    assert len(memory.queue.held) == 1


async def test_a_key_that_cannot_be_kept_accepts_nothing(memory: Memory, publish: Publish) -> None:
    memory.keys.away = True

    with pytest.raises(Unavailable):
        await publish(a_content(), KEY)

    assert memory.queue.held == []


async def test_a_stranger_does_not_use_a_key_up(publish: Publish) -> None:
    with pytest.raises(UnknownUser):
        await publish(a_content(UserId("nobody")), KEY)

    assert await publish(a_content(), Idempotency("producer", "key", "another print")) == an_id(1)


async def test_an_unknown_outcome_tells_the_id_and_a_retry_keeps_it(memory: Memory, publish: Publish) -> None:
    memory.queue.away = True
    with pytest.raises(Unconfirmed) as caught:
        await publish(a_content(), KEY)
    memory.queue.away = False

    assert await publish(a_content(), KEY) == caught.value.notification_id


# --- batches ---


async def test_a_bad_item_spoils_only_itself_and_the_order_is_kept(
    memory: Memory, publish_batch: Publish
) -> None:
    invalid = Invalid([FieldError("message", "is required")])
    items: list[Content | DomainError] = [
        a_content(message="first"),
        invalid,
        a_content(UserId("nobody")),
        a_content(BOB, message="second"),
        a_content(expires_at=NOW),
        a_content(message="third"),
    ]

    results = await publish_batch(items)

    assert results[1] is invalid
    assert isinstance(results[2], UnknownUser)
    assert isinstance(results[4], Invalid)
    assert [(draft.id, draft.content.message) for draft in memory.queue.held] == [
        (results[0], "first"),
        (results[3], "second"),
        (results[5], "third"),
    ]
    assert {draft.key_id for draft in memory.queue.held} == {SENDER.id}


async def test_ids_of_a_batch_rise_with_the_items_also_past_bad_ones(publish_batch: Publish) -> None:
    results = await publish_batch([a_content(), UnknownUser(), a_content(BOB), a_content()])

    first = an_id(1)
    assert results[0] == first
    assert results[2:] == [nth_id(first, 2), nth_id(first, 3)]


async def test_a_batch_with_nothing_good_puts_nothing(memory: Memory, publish_batch: Publish) -> None:
    results = await publish_batch([UnknownUser(), a_content(UserId("nobody"))])

    assert all(isinstance(result, UnknownUser) for result in results)
    assert memory.queue.held == []


async def test_a_batch_repeated_with_its_key_has_the_same_ids(publish_batch: Publish) -> None:
    items = [a_content(message=f"{n}") for n in range(5)]

    assert await publish_batch(items, KEY) == await publish_batch(items, KEY)


async def test_a_batch_repeated_with_another_body_is_refused(publish_batch: Publish) -> None:
    await publish_batch([a_content()], KEY)

    with pytest.raises(KeyReused):
        await publish_batch([a_content()], Idempotency("producer", "key", "another print"))


async def test_each_item_says_when_its_outcome_is_unknown(memory: Memory, publish_batch: Publish) -> None:
    memory.queue.unconfirmed = {nth_id(an_id(1), 1)}

    results = await publish_batch([a_content(), a_content(), a_content()])

    assert isinstance(results[1], Unconfirmed)
    assert results[1].notification_id == nth_id(an_id(1), 1)
    assert [draft.id for draft in memory.queue.held] == [results[0], results[2]]


async def test_with_the_users_away_a_batch_is_accepted(memory: Memory, publish_batch: Publish) -> None:
    memory.users.away = True

    await publish_batch([a_content(UserId("nobody")), a_content()])

    assert len(memory.queue.held) == 2


def test_the_ids_of_the_largest_batch_stay_apart_from_those_of_the_next() -> None:
    assert nth_id(an_id(1), 999) < an_id(2)
    assert nth_id(an_id(1), 0) == an_id(1)
    assert nth_id(an_id(1), 999).version == 7
