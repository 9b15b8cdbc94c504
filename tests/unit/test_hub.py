"""The live streams of a process."""

from collections.abc import Callable, Sequence

import pytest

from adapters import clock as system
from adapters.websocket.hub import Hub
from application.streams import Frame
from tests import contracts
from tests.build import ADA, BOB
from tests.memory import Mailbox, MemoryCarrier, following

frame = contracts.LiveFeedContract.frame


class TestHub(contracts.LiveFeedContract):
    @pytest.fixture
    def live(self) -> Hub:
        return Hub(system.now, MemoryCarrier())

    @pytest.fixture
    def deliver(self, live: Hub) -> Callable[[Sequence[Frame]], None]:
        return live.deliver


async def test_every_stream_is_told_once_that_frames_were_lost() -> None:
    hub = Hub(system.now, MemoryCarrier())
    async with following(hub, ADA) as ada, following(hub, BOB) as bob:
        hub.lost()
        hub.deliver([frame(1, BOB)])

        assert (await ada.next(1)).missed
        received = await bob.next(1)
        assert (received.missed, len(received.frames)) == (True, 1)
        assert not (await ada.next(0.01)).missed


async def test_one_that_leaves_while_it_is_handed_a_frame_takes_nothing_from_the_others() -> None:
    hub = Hub(system.now, MemoryCarrier())

    class Hasty(Mailbox):
        def take(self, frame: Frame) -> None:
            hub.leave(frame.user_id, self)

    await hub.join(ADA, Hasty())
    async with following(hub, ADA) as patient:
        hub.deliver([frame(1), frame(2)])

        assert len((await patient.next(1)).frames) == 2


async def test_who_has_left_leaves_nothing_behind() -> None:
    hub = Hub(system.now, MemoryCarrier())
    async with following(hub, ADA):
        async with following(hub, ADA):
            assert len(hub._followers[ADA]) == 2
        assert len(hub._followers[ADA]) == 1

    assert hub._followers == {}


async def test_leaving_twice_is_no_error() -> None:
    hub, mailbox = Hub(system.now, MemoryCarrier()), Mailbox()
    await hub.join(ADA, mailbox)
    hub.leave(ADA, mailbox)
    hub.leave(ADA, mailbox)

    assert hub._followers == {}


def test_frames_for_nobody_are_dropped() -> None:
    Hub(system.now, MemoryCarrier()).deliver([frame()])
