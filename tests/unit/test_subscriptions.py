"""To whose frames a process listens."""

import asyncio
from collections.abc import Callable

import pytest

from adapters.redis.subscriptions import LINGER_SECONDS, PATIENCE_SECONDS, Subscriptions
from domain.identifiers import UserId
from tests.build import ADA, BOB

CYD = UserId("cyd")


class Clock:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def subscriptions(clock: Clock) -> Subscriptions:
    return Subscriptions(clock)


class Woken:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def begin(subscriptions: Subscriptions, wake: Callable[[], None] = Woken()) -> list[UserId]:  # noqa: B008
    return sorted(subscriptions.begin(wake))


async def joining(subscriptions: Subscriptions, user: UserId) -> "asyncio.Task[None]":
    """A stream that joins, as far as it gets alone."""
    task = asyncio.create_task(subscriptions.join(user))
    await _turns()
    return task


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_stream_waits_until_its_subscription_is_confirmed(subscriptions: Subscriptions) -> None:
    woken = Woken()
    begin(subscriptions, woken)
    stream = await joining(subscriptions, ADA)

    assert woken.times == 1
    assert subscriptions.take_new() == [ADA]
    assert not stream.done(), "what it read now could be followed by a frame that it never gets"
    assert subscriptions.confirmed(ADA) is False, "it has missed nothing"
    await stream


async def test_later_streams_of_the_user_wait_for_the_same_confirmation(subscriptions: Subscriptions) -> None:
    begin(subscriptions)
    streams = [await joining(subscriptions, ADA) for _ in range(3)]

    assert subscriptions.take_new() == [ADA], "it is asked for once"
    assert not any(stream.done() for stream in streams)
    streams[0].cancel()
    await _turns()
    subscriptions.confirmed(ADA)
    await asyncio.gather(*streams[1:])
    assert streams[0].cancelled()


async def test_who_is_confirmed_is_not_asked_for_again(subscriptions: Subscriptions) -> None:
    begin(subscriptions)
    stream = await joining(subscriptions, ADA)
    subscriptions.take_new()
    subscriptions.confirmed(ADA)
    await stream

    await subscriptions.join(ADA)
    assert subscriptions.take_new() == []


async def test_without_a_connection_nobody_waits_and_the_next_one_begins_with_all(
    subscriptions: Subscriptions,
) -> None:
    await subscriptions.join(BOB)
    await subscriptions.join(ADA)

    assert begin(subscriptions) == [ADA, BOB]
    assert subscriptions.take_new() == []
    await subscriptions.join(ADA)


async def test_who_waits_for_a_connection_that_is_lost_goes_on_and_is_held_by_the_next(
    subscriptions: Subscriptions,
) -> None:
    begin(subscriptions)
    asked, unasked = await joining(subscriptions, ADA), None
    subscriptions.take_new()
    unasked = await joining(subscriptions, BOB)
    subscriptions.end()

    await asyncio.gather(asked, unasked)
    assert begin(subscriptions) == [ADA, BOB]
    assert subscriptions.take_new() == [], "the next connection begins with them"


async def test_a_confirmation_of_the_first_subscriptions_releases_nobody_else(
    subscriptions: Subscriptions,
) -> None:
    await subscriptions.join(ADA)
    begin(subscriptions)
    stream = await joining(subscriptions, BOB)

    assert subscriptions.confirmed(ADA) is False
    await _turns()
    assert not stream.done()
    subscriptions.confirmed(BOB)
    await stream


async def test_a_user_without_streams_is_held_for_a_while(subscriptions: Subscriptions, clock: Clock) -> None:
    await subscriptions.join(ADA)
    begin(subscriptions)
    subscriptions.leave(ADA)
    clock.at += LINGER_SECONDS - 1

    assert subscriptions.take_expired() == []
    clock.at += 1
    assert subscriptions.take_expired() == [ADA]
    assert subscriptions.take_expired() == []


async def test_who_comes_back_in_time_is_still_subscribed_to(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    await subscriptions.join(ADA)
    begin(subscriptions)
    subscriptions.leave(ADA)
    clock.at += LINGER_SECONDS - 1
    await subscriptions.join(ADA)
    clock.at += LINGER_SECONDS

    assert subscriptions.take_new() == []
    assert subscriptions.take_expired() == []
    subscriptions.leave(ADA)
    clock.at += LINGER_SECONDS - 1
    assert subscriptions.take_expired() == [], "the time counts from the last stream"


async def test_who_comes_back_too_late_is_asked_for_again(subscriptions: Subscriptions, clock: Clock) -> None:
    await subscriptions.join(ADA)
    begin(subscriptions)
    subscriptions.leave(ADA)
    clock.at += LINGER_SECONDS
    subscriptions.take_expired()
    stream = await joining(subscriptions, ADA)

    assert not stream.done()
    assert subscriptions.take_new() == [ADA]
    subscriptions.confirmed(ADA)
    await stream


async def test_the_longest_gone_are_unsubscribed_first_and_only_they(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    for user in (ADA, BOB, CYD):
        await subscriptions.join(user)
    begin(subscriptions)
    subscriptions.leave(BOB)
    clock.at += 5
    subscriptions.leave(ADA)
    clock.at += LINGER_SECONDS - 5

    assert subscriptions.take_expired() == [BOB]
    clock.at += 5
    assert subscriptions.take_expired() == [ADA]


async def test_nobody_is_unsubscribed_from_while_a_confirmation_is_on_its_way(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    """It would be taken for that of a later request, and a stream would read before it is subscribed."""
    begin(subscriptions)
    stream = await joining(subscriptions, ADA)
    subscriptions.take_new()
    stream.cancel()
    subscriptions.leave(ADA)
    clock.at += 2 * LINGER_SECONDS

    assert subscriptions.take_expired() == []
    subscriptions.confirmed(ADA)
    assert subscriptions.take_expired() == [ADA]


async def test_a_new_connection_does_not_subscribe_to_users_without_streams(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    await subscriptions.join(ADA)
    await subscriptions.join(BOB)
    subscriptions.leave(ADA)

    assert begin(subscriptions) == [BOB]
    clock.at += LINGER_SECONDS
    assert subscriptions.take_expired() == []


async def test_a_late_confirmation_holds_up_no_stream_but_has_it_read_again(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    begin(subscriptions)
    early = await joining(subscriptions, ADA)
    subscriptions.take_new()
    clock.at += PATIENCE_SECONDS / 2
    late = await joining(subscriptions, BOB)
    clock.at += PATIENCE_SECONDS / 2
    subscriptions.lose_patience()
    await early

    assert not late.done()
    await subscriptions.join(ADA)  # who comes now does not wait either
    assert subscriptions.confirmed(ADA) is True
    assert subscriptions.confirmed(ADA) is False
    assert subscriptions.confirmed(BOB) is False
    await late


async def test_leaving_without_having_joined_is_no_error(subscriptions: Subscriptions, clock: Clock) -> None:
    begin(subscriptions)
    subscriptions.leave(ADA)
    clock.at += LINGER_SECONDS

    assert subscriptions.take_expired() == []


async def test_a_user_who_is_taken_over_is_asked_for_and_has_missed_something(
    subscriptions: Subscriptions,
) -> None:
    woken = Woken()
    subscriptions.begin(woken)

    subscriptions.take_over(ADA)

    assert woken.times == 1
    assert subscriptions.take_new() == [ADA]
    assert subscriptions.followed == [ADA]
    assert subscriptions.confirmed(ADA)
    assert not subscriptions.confirmed(ADA)


async def test_a_user_who_is_subscribed_to_again_holds_nobody_up(subscriptions: Subscriptions) -> None:
    subscriptions.begin(Woken())
    stream = await joining(subscriptions, ADA)

    subscriptions.take_over(ADA)

    await stream
    assert subscriptions.confirmed(ADA), "it may have missed frames"


async def test_a_user_who_is_dropped_holds_nobody_up(subscriptions: Subscriptions) -> None:
    subscriptions.begin(Woken())
    joining = asyncio.create_task(subscriptions.join(ADA))
    await asyncio.sleep(0)

    subscriptions.drop(ADA)

    await joining
    assert subscriptions.followed == []
    assert not subscriptions.confirmed(ADA)


async def test_a_user_who_has_left_and_is_taken_over_stays(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    subscriptions.begin(Woken())
    subscriptions.take_over(ADA)
    assert subscriptions.confirmed(ADA)
    subscriptions.leave(ADA)
    assert subscriptions.followed == []

    subscriptions.take_over(ADA)
    clock.at += LINGER_SECONDS + 1

    assert subscriptions.confirmed(ADA)
    assert subscriptions.take_expired() == []
    assert subscriptions.followed == [ADA]
