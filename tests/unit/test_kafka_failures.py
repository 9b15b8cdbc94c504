"""What aiokafka passes on from below while a broker goes away is not a defect of ours."""

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from adapters.kafka.batches import Deadlines
from adapters.kafka.queue import KafkaQueue
from application.errors import Unavailable, Unconfirmed
from tests.build import a_draft


async def write_to_a_closed_transport(*_: object, **__: object) -> Any:
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


def producer(_bootstrap: str, _client_id: str) -> Any:
    async def start() -> None:
        return

    cluster = SimpleNamespace(partitions_for_topic=lambda _topic: None)
    client = SimpleNamespace(fetch_all_metadata=write_to_a_closed_transport, cluster=cluster, hosts=[])
    return SimpleNamespace(start=start, client=client, partitions_for=write_to_a_closed_transport)


async def test_a_connection_that_is_reset_while_it_is_written_to_counts_as_out_of_reach() -> None:
    queue = KafkaQueue("nowhere", "notifications", monotonic, producer=producer)
    await queue._replace()

    with pytest.raises(Unavailable, match="out of reach"):
        await queue.ping()
    (outcome,) = await queue.put_all([a_draft()])
    assert outcome is not None


def silent(asked: "asyncio.Queue[asyncio.Future[object]]") -> Any:
    """A producer that knows the topic, and whose broker leaves the answers to the test."""

    async def start() -> None:
        return

    async def send_batch(builder: Any, *_: object, **__: object) -> "asyncio.Future[object]":
        builder._build()
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        asked.put_nowait(answer)
        return answer

    cluster = SimpleNamespace(partitions_for_topic=lambda _topic: {0})
    return SimpleNamespace(
        start=start,
        client=SimpleNamespace(cluster=cluster),
        create_batch=lambda: BatchBuilder(1_000, 0),
        send_batch=send_batch,
    )


async def test_who_has_waited_until_the_deadline_is_told_that_the_outcome_is_unknown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: asyncio.Queue[asyncio.Future[object]] = asyncio.Queue()
    queue = KafkaQueue("nowhere", "notifications", monotonic, producer=lambda *_: silent(asked))
    await queue._replace()

    with monkeypatch.context() as soon:
        soon.setattr(queue, "_deadlines", Deadlines(0.0))
        with pytest.raises(Unconfirmed):
            await queue.put(a_draft())
    assert "TimeoutError" in caplog.text

    (await asked.get()).set_result(None)  # it arrived after all, and nobody waits for it any more
    later = asyncio.create_task(queue.put_all([a_draft(), a_draft()]))
    (await asked.get()).set_result(None)
    assert await later == [None, None]
