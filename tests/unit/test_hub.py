"""The live streams of a process."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from adapters.websocket.hub import Hub
from application.ports import Frame, Lagging
from tests import contracts
from tests.build import ADA, BOB

frame = contracts.LiveFeedContract.frame


class TestHub(contracts.LiveFeedContract):
    @pytest.fixture
    def live(self) -> Hub:
        return Hub()

    @pytest.fixture
    def deliver(self, live: Hub) -> Callable[[Sequence[Frame]], None]:
        return live.deliver


async def test_a_stream_takes_so_many_frames_and_no_more() -> None:
    hub = Hub()
    async with hub.subscribe(ADA) as full, hub.subscribe(BOB) as over:
        hub.deliver([frame(n) for n in range(1, 257)])
        hub.deliver([frame(n, BOB) for n in range(1, 258)])

        assert len((await full.next(1)).frames) == 256
        with pytest.raises(Lagging):
            await over.next(1)


async def test_a_stream_takes_so_many_bytes_and_no_more() -> None:
    hub = Hub()
    half = "x" * (512 * 1024)
    async with hub.subscribe(ADA) as full, hub.subscribe(BOB) as over:
        hub.deliver([frame(1, text=half), frame(2, text=half)])
        hub.deliver([frame(1, BOB, text=half), frame(2, BOB, text=half), frame(3, BOB, text="x")])

        assert len((await full.next(1)).frames) == 2
        with pytest.raises(Lagging):
            await over.next(1)


async def test_what_was_read_makes_room() -> None:
    hub = Hub()
    async with hub.subscribe(ADA) as stream:
        for n in range(1, 1_000):
            hub.deliver([frame(n, text="x" * 10_000)])
            assert len((await stream.next(1)).frames) == 1


async def test_one_that_lagged_keeps_nothing_and_stays_so() -> None:
    hub = Hub()
    async with hub.subscribe(ADA) as stream:
        hub.deliver([frame(n) for n in range(1, 400)])
        assert stream._frames == []
        for _ in range(2):
            with pytest.raises(Lagging):
                await stream.next(1)


async def test_lagging_ends_the_wait() -> None:
    hub = Hub()
    async with hub.subscribe(ADA) as stream:
        waiting = asyncio.create_task(stream.next(30))
        await asyncio.sleep(0)
        hub.deliver([frame(1, text="x" * 2_000_000)])

        with pytest.raises(Lagging):
            await waiting


async def test_every_stream_is_told_once_that_frames_were_lost() -> None:
    hub = Hub()
    async with hub.subscribe(ADA) as ada, hub.subscribe(BOB) as bob:
        waiting = asyncio.create_task(ada.next(30))
        await asyncio.sleep(0)
        hub.lost()
        hub.deliver([frame(1, BOB)])

        assert (await waiting).missed
        received = await bob.next(1)
        assert (received.missed, len(received.frames)) == (True, 1)
        assert not (await ada.next(0.01)).missed


async def test_who_has_left_leaves_nothing_behind() -> None:
    hub = Hub()
    async with hub.subscribe(ADA):
        async with hub.subscribe(ADA):
            assert len(hub._streams[ADA]) == 2
        assert len(hub._streams[ADA]) == 1

    assert hub._streams == {}


async def test_who_leaves_by_an_error_leaves_nothing_behind() -> None:
    hub = Hub()
    with pytest.raises(RuntimeError):
        async with hub.subscribe(ADA):
            raise RuntimeError

    assert hub._streams == {}


def test_frames_for_nobody_are_dropped() -> None:
    Hub().deliver([frame()])
