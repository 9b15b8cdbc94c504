"""Batches of one partition, with a producer that the test answers for."""

import asyncio
import gc
from weakref import ref

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder

from adapters.kafka.batches import Deadlines, Outcomes, PartitionBatches

BATCH_BYTES = 1_000
CODEC_NONE = 0


class Producer:
    """Keeps the batches that it is handed; takes the next one when the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[BatchBuilder, asyncio.Future[object]]] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.refuses: list[Exception] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, CODEC_NONE)

    async def send_batch(
        self, builder: BatchBuilder, topic: str, *, partition: int
    ) -> "asyncio.Future[object]":
        await self.takes.wait()
        if self.refuses:
            raise self.refuses.pop()
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.sent.append((builder, answer))
        return answer

    def counts(self) -> list[int]:
        """How many records each batch has."""
        return [builder.record_count() for builder, _ in self.sent]

    def flies(self, nth: int) -> "asyncio.Future[object]":
        """The request of a batch is made; the answer is the test's to give."""
        builder, answer = self.sent[nth]
        builder._build()
        return answer


class Partition:
    def __init__(self) -> None:
        self.producer = Producer()
        self.reasons: list[BaseException] = []
        self.batches = PartitionBatches(
            self.producer,
            "topic",
            0,
            self.reasons.append,
        )

    def put(self, size: int = 10) -> Outcomes:
        """One caller puts one record."""
        outcomes = Outcomes(1)
        self.batches.put((b"ada", b"." * size, []), outcomes, 0)
        return outcomes


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_records_join_a_batch_until_its_request_is_made() -> None:
    partition = Partition()
    first = partition.put()
    await settle()
    second = partition.put()
    answer = partition.producer.flies(0)
    third = partition.put()
    await settle()

    answer.set_result(None)
    await settle()

    assert partition.producer.counts() == [2, 1]
    assert first.accepted == second.accepted == [True]
    assert first.complete.done()
    assert not third.complete.done()


async def test_a_batch_takes_no_more_bytes_than_it_may_have_and_a_larger_record_goes_alone() -> None:
    partition = Partition()
    for size in (500, 600, 5_000, 10, 10):
        partition.put(size)
    await settle()

    assert partition.producer.counts() == [1, 1, 1, 2]


async def test_a_batch_that_fails_fails_no_other() -> None:
    partition = Partition()
    failing = [partition.put(), partition.put()]
    await settle()
    lost = partition.producer.flies(0)
    others = [partition.put(), partition.put()]
    await settle()

    lost.set_exception(KafkaTimeoutError())
    partition.producer.flies(1).set_result(None)
    await settle()

    assert [outcomes.accepted for outcomes in failing] == [[False], [False]]
    assert [outcomes.accepted for outcomes in others] == [[True], [True]]
    assert list(map(type, partition.reasons)) == [KafkaTimeoutError]


@pytest.mark.parametrize("error", [KafkaConnectionError(), AssertionError("Unrecognized partition")])
async def test_a_batch_that_the_producer_refuses_is_joined_by_nobody_and_the_next_is_sent(
    error: Exception,
) -> None:
    partition = Partition()
    partition.producer.refuses = [error]
    refused = partition.put()
    await settle()
    after = partition.put()
    await settle()
    partition.producer.flies(0).set_result(None)
    await settle()

    assert refused.complete.done()
    assert refused.accepted == [False]
    assert after.accepted == [True]
    assert partition.reasons == [error]


async def test_a_batch_that_was_answered_is_not_kept() -> None:
    partition = Partition()
    partition.put()
    await settle()
    kept = ref(partition.producer.sent[0][0])
    partition.producer.flies(0).set_result(None)
    await settle()
    partition.producer.sent.clear()

    gc.collect()
    assert kept() is None


async def test_a_caller_that_gives_up_takes_nobody_along() -> None:
    partition = Partition()
    gone, there = partition.put(), partition.put()
    await settle()
    gone.complete.cancel()
    partition.producer.flies(0).set_result(None)
    await settle()

    assert partition.producer.counts() == [2]
    assert there.complete.result() is None
    assert there.accepted == [True]


async def test_of_records_that_nobody_waits_for_any_more_no_pile_is_kept() -> None:
    partition = Partition()
    partition.producer.takes.clear()
    first = partition.put(900)
    given_up = [partition.put(900) for _ in range(100)]
    for outcomes in given_up:
        outcomes.complete.cancel()
    last = partition.put(900)
    await settle()

    partition.producer.takes.set()
    await settle()
    for nth in (0, 1):
        partition.producer.flies(nth).set_result(None)
    await settle()

    assert partition.producer.counts() == [1, 1]
    assert first.accepted == last.accepted == [True]


async def test_a_batch_that_is_left_out_is_joined_by_nobody() -> None:
    partition = Partition()
    partition.put().complete.cancel()
    await settle()
    after = partition.put()
    await settle()
    partition.producer.flies(0).set_result(None)
    await settle()

    assert after.accepted == [True]


async def test_one_caller_is_told_of_all_its_records_at_once() -> None:
    partition = Partition()
    outcomes = Outcomes(3)
    for nth in range(3):
        partition.batches.put((b"ada", b"." * 900, []), outcomes, nth)
    await settle()

    partition.producer.flies(0).set_result(None)
    partition.producer.flies(1).set_exception(KafkaTimeoutError())
    await settle()
    early = outcomes.complete.done()
    partition.producer.flies(2).set_result(None)
    await settle()

    assert not early
    assert outcomes.complete.done()
    assert outcomes.accepted == [True, False, True]


async def test_handing_over_ends_when_the_producer_has_everything() -> None:
    partition = Partition()
    await partition.batches.handed_over()
    partition.producer.takes.clear()
    partition.put()
    handing = asyncio.create_task(partition.batches.handed_over())
    await settle()
    early = handing.done()
    partition.producer.takes.set()
    await handing

    assert not early
    assert partition.producer.counts() == [1]


async def test_who_waits_is_ended_at_the_deadline_with_those_that_began_to_wait_with_it() -> None:
    deadlines, (one, another, settled) = Deadlines(0.1), [Outcomes(1) for _ in range(3)]
    waiting = [asyncio.create_task(deadlines.completed(each)) for each in (one, another, settled)]

    settled.settle(0, accepted=True)
    await asyncio.gather(*waiting)

    assert [each.unknown for each in (one, another, settled)] == [1, 1, 0]


async def test_a_deadline_keeps_nothing_of_who_no_longer_waits() -> None:
    deadlines, outcomes = Deadlines(60.0), Outcomes(1)
    waiting = asyncio.create_task(deadlines.completed(outcomes))
    await settle()
    outcomes.settle(0, accepted=True)
    await waiting

    kept = ref(outcomes)
    del outcomes, waiting
    gc.collect()

    assert kept() is None
