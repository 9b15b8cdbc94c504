"""What aiokafka passes on from below while a broker goes away is not a defect of ours."""

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.kafka.batches import Deadlines
from adapters.kafka.queue import KafkaQueue
from application.errors import Unavailable, Unconfirmed
from tests.build import a_draft


async def write_to_a_closed_transport(*_: object, **__: object) -> Any:
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


async def nothing() -> None:
    return


def lost(_bootstrap: str, _client_id: str) -> Any:
    """A client that has connected, and does not know the topic."""
    return SimpleNamespace(
        bootstrap=nothing,
        cluster=SimpleNamespace(add_listener=lambda _listener: None),
        fetch_all_metadata=write_to_a_closed_transport,
        hosts=[],
        _wait_on_metadata=write_to_a_closed_transport,
    )


async def test_a_connection_that_is_reset_while_it_is_written_to_counts_as_out_of_reach() -> None:
    queue = KafkaQueue("nowhere", "notifications", monotonic, client=lost)
    await queue._replace()

    with pytest.raises(Unavailable, match="out of reach"):
        await queue.ping()
    (outcome,) = await queue.put_all([a_draft()])
    assert outcome is not None


def silent(asked: "asyncio.Queue[asyncio.Future[object]]") -> Any:
    """A client that knows the topic, and whose broker leaves the answers to the test."""
    cluster: Any = SimpleNamespace(
        add_listener=lambda listener: listener(cluster),
        partitions_for_topic=lambda _topic: {0},
        leader_for_partition=lambda _partition: 1,
    )

    async def send(_broker: int, _request: object) -> object:
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        asked.put_nowait(answer)
        return await answer

    return SimpleNamespace(bootstrap=nothing, cluster=cluster, send=send)


async def test_who_has_waited_until_the_deadline_is_told_that_the_outcome_is_unknown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: asyncio.Queue[asyncio.Future[object]] = asyncio.Queue()
    queue = KafkaQueue("nowhere", "notifications", monotonic, client=lambda *_: silent(asked))
    await queue._replace()

    with monkeypatch.context() as soon:
        soon.setattr(queue, "_deadlines", Deadlines(0.0))
        with pytest.raises(Unconfirmed):
            await queue.put(a_draft())
    assert "TimeoutError" in caplog.text

    (await asked.get()).set_result({0: 0})  # it arrived after all, and nobody waits for it any more
    later = asyncio.create_task(queue.put_all([a_draft(), a_draft()]))
    (await asked.get()).set_result({0: 0})
    assert await later == [None, None]
