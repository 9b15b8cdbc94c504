"""The queue's producer, with a client whose brokers the test answers for."""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import (
    KafkaConnectionError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    ProducerClosed,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownError,
)
from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.record.memory_records import MemoryRecords

from adapters.kafka import batches, producer
from adapters.kafka.batches import Outcomes
from adapters.kafka.produce_request import ProduceRequest
from adapters.kafka.producer import Producer

TOPIC = "topic"
NOBODY = -1
TOO_FEW, TOO_LARGE, NOT_LEADER, DENIED = (
    error.errno
    for error in (
        NotEnoughReplicasError,
        MessageSizeTooLargeError,
        NotLeaderForPartitionError,
        TopicAuthorizationFailedError,
    )
)


class Asked:
    """A request, which the test answers."""

    def __init__(self, broker: int, request: ProduceRequest) -> None:
        self.broker = broker
        self.answer: asyncio.Future[Mapping[int, int]] = asyncio.get_running_loop().create_future()
        self.batches = request.batches

    def accept(self, errors: Mapping[int, int] = {}) -> None:
        """Accept every batch but those with errors, by partition."""
        self.answer.set_result(dict.fromkeys(self.batches, 0) | dict(errors))

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)

    @property
    def values(self) -> Mapping[int, Sequence[bytes]]:
        """The records, by partition."""
        return {
            partition: [record.value for record in MemoryRecords(bytes(batch)).next_batch()]
            for partition, batch in self.batches.items()
        }


class Client:
    """Has the methods of AIOKafkaClient that the producer calls."""

    _sync_task = None

    def __init__(self, leaders: Mapping[int, int]) -> None:
        self.cluster = ClusterMetadata()
        self.asked: list[Asked] = []
        self.refreshed = 0
        self.closed = False
        self._leaders = dict(leaders)

    async def bootstrap(self) -> None:
        self.lead({})

    async def close(self) -> None:
        self.closed = True

    async def send(self, broker: int, request: ProduceRequest) -> Mapping[int, int]:
        self.asked.append(Asked(broker, request))
        return await self.asked[-1].answer

    def force_metadata_update(self) -> None:
        self.refreshed += 1

    def lead(self, leaders: Mapping[int, int]) -> None:
        """Have the client learn who leads partitions now."""
        self._leaders |= leaders
        brokers = [(broker, "localhost", 9092, None) for broker in {*self._leaders.values()} - {NOBODY}]
        partitions: list[Any] = [(0, number, leader, [], []) for number, leader in self._leaders.items()]
        self.cluster.update_metadata(MetadataResponse_v1(brokers, 1, [(0, TOPIC, False, partitions)]))


class Sending:
    """A producer, and what its callers and its log are told."""

    def __init__(self, leaders: Mapping[int, int]) -> None:
        self.client = Client(leaders)
        self.reasons: list[BaseException] = []
        self.producer = Producer(self.client, TOPIC, self.reasons.append)

    @property
    def asked(self) -> list[Asked]:
        return self.client.asked

    def put(self, value: bytes = b"", *, partition: int = 0) -> Outcomes:
        """One caller puts one record."""
        outcomes = Outcomes(1)
        self.producer.put_all([(key_of(partition, len(self.producer._partitions)), value, [])], outcomes)
        return outcomes


def key_of(partition: int, count: int) -> bytes:
    """A key whose records go to a partition."""
    partitions = tuple(range(count))
    keys = (b"user-%d" % n for n in range(1000))
    return next(key for key in keys if producer._partition(key, partitions) == partition)


async def begun(leaders: Mapping[int, int] = {0: 1}) -> Sending:
    sending = Sending(leaders)
    await sending.producer.start()
    return sending


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send again at once what failed."""
    monkeypatch.setattr(producer, "_RETRY_SECONDS", 0)


# --- what is sent together ---


async def test_records_join_a_batch_until_its_request_is_made() -> None:
    sending = await begun()
    first, second = sending.put(b"1"), sending.put(b"2")
    await settle()
    third, fourth = sending.put(b"3"), sending.put(b"4")
    await settle()

    assert [asked.values for asked in sending.asked] == [{0: [b"1", b"2"]}]
    sending.asked[0].accept()
    await settle()

    assert first.accepted == second.accepted == [True]
    assert not third.complete.done()
    sending.asked[1].accept()
    await settle()
    assert third.accepted == fourth.accepted == [True]
    assert [asked.values for asked in sending.asked] == [{0: [b"1", b"2"]}, {0: [b"3", b"4"]}]


async def test_a_batch_takes_no_more_bytes_than_it_may_have_and_a_larger_record_goes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 1_000)
    sending = await begun()
    for size in (500, 600, 5_000, 10, 10):
        sending.put(b"." * size)
    for _ in range(4):
        await settle()
        sending.asked[-1].accept()
    await settle()

    assert [len(asked.values[0]) for asked in sending.asked] == [1, 1, 1, 2]


async def test_a_broker_has_one_request_in_flight_with_one_batch_of_each_partition() -> None:
    sending = await begun({0: 1, 1: 1, 2: 2})
    sending.put(b"1", partition=0)
    await settle()
    for partition in (0, 1, 2):
        sending.put(b"2", partition=partition)
    await settle()

    assert [(asked.broker, asked.values) for asked in sending.asked] == [
        (1, {0: [b"1"]}),
        (2, {2: [b"2"]}),
    ]
    sending.asked[0].accept()
    await settle()
    assert sending.asked[2].values == {0: [b"2"], 1: [b"2"]}


async def test_one_caller_is_told_of_all_its_records_at_once() -> None:
    sending = await begun({0: 1, 1: 1, 2: 2})
    outcomes = Outcomes(3)
    sending.producer.put_all([(key_of(partition, 3), b"", []) for partition in (0, 1, 2)], outcomes)
    await settle()

    sending.asked[0].accept({1: TOO_LARGE})
    await settle()
    assert not outcomes.complete.done()
    sending.asked[1].accept()
    await settle()

    assert outcomes.complete.done()
    assert outcomes.accepted == [True, False, True]


# --- errors ---


@pytest.mark.parametrize("code", [TOO_LARGE, DENIED])
async def test_an_error_that_stays_fails_its_batch_and_no_other(code: int) -> None:
    sending = await begun({0: 1, 1: 1})
    failing, well = [sending.put(partition=0), sending.put(partition=0)], sending.put(partition=1)
    await settle()
    after = sending.put(partition=0)

    sending.asked[0].accept({0: code})
    await settle()
    sending.asked[1].accept()
    await settle()

    assert [outcomes.accepted for outcomes in failing] == [[False], [False]]
    assert well.accepted == after.accepted == [True]
    assert [error.errno for error in sending.reasons if isinstance(error, UnknownError.__base__)] == [code]


async def test_who_is_denied_a_topic_is_told_which() -> None:
    sending = await begun()
    sending.put()
    await settle()
    sending.asked[0].accept({0: DENIED})
    await settle()

    assert [error.args for error in sending.reasons] == [(TOPIC,)]


async def test_a_batch_of_which_the_answer_says_nothing_is_not_accepted() -> None:
    sending = await begun({0: 1, 1: 1})
    missing, well = sending.put(partition=0), sending.put(partition=1)
    await settle()
    sending.asked[0].answer.set_result({1: 0})
    await settle()

    assert (missing.accepted, well.accepted) == ([False], [True])
    assert [type(error) for error in sending.reasons] == [UnknownError]


async def test_what_may_pass_is_sent_again_before_what_came_later() -> None:
    sending = await begun({0: 1, 1: 1})
    first, other = sending.put(b"1"), sending.put(b"other", partition=1)
    await settle()
    later = sending.put(b"2")
    sending.asked[0].accept({0: TOO_FEW})
    await settle()
    assert other.accepted == [True]
    assert sending.asked[1].values == {0: [b"1"]}

    sending.asked[1].accept()
    await settle()
    sending.asked[2].accept()
    await settle()

    assert sending.asked[2].values == {0: [b"2"]}
    assert first.accepted == later.accepted == [True]
    assert sending.client.refreshed == 1
    assert not sending.reasons


@pytest.mark.parametrize(
    "error",
    [
        KafkaConnectionError("closed"),
        RequestTimedOutError(),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
        KeyError(1),
    ],
)
async def test_what_was_in_flight_when_a_connection_was_lost_is_sent_again(error: Exception) -> None:
    sending = await begun({0: 1, 1: 1})
    both = sending.put(partition=0), sending.put(partition=1)
    await settle()
    sending.asked[0].fail(error)
    await settle()
    sending.asked[1].accept()
    await settle()

    assert sending.asked[1].values == sending.asked[0].values
    assert [outcomes.accepted for outcomes in both] == [[True], [True]]


async def test_an_error_that_lasts_as_long_as_a_request_may_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "REQUEST_SECONDS", 0.0)
    sending = await begun()
    failing = sending.put()
    await settle()
    after = sending.put()
    sending.asked[0].fail(KafkaConnectionError("closed"))
    await settle()
    sending.asked[1].accept()
    await settle()

    assert (failing.accepted, after.accepted) == ([False], [True])
    assert [type(error) for error in sending.reasons] == [KafkaConnectionError]


# --- leaders ---


async def test_when_the_leader_moves_its_records_follow_in_order() -> None:
    sending = await begun({0: 1, 1: 1})
    sending.put(b"1")
    await settle()
    sending.put(b"2")
    sending.client.lead({0: 2})
    await settle()
    assert len(sending.asked) == 1, "what is in flight comes first"

    sending.asked[0].accept({0: NOT_LEADER})
    await settle()
    sending.asked[1].accept()
    await settle()

    moved = [(asked.broker, asked.values) for asked in sending.asked[1:]]
    assert moved == [(2, {0: [b"1"]}), (2, {0: [b"2"]})]


async def test_what_waits_for_a_broker_goes_to_the_new_leader_at_once() -> None:
    sending = await begun({0: 1, 1: 1})
    sending.put(b"in flight", partition=0)
    await settle()
    sending.put(b"waits", partition=1)
    await settle()
    sending.client.lead({1: 2})
    await settle()

    assert [asked.broker for asked in sending.asked] == [1, 2]
    assert sending.asked[1].values == {1: [b"waits"]}


async def test_a_partition_without_a_leader_waits_for_one_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sending = await begun({0: NOBODY, 1: 1})
    orphan, other = sending.put(b"1"), sending.put(partition=1)
    await settle()
    sending.asked[0].accept()
    await settle()
    assert other.accepted == [True]
    assert sending.client.refreshed > 1

    sending.client.lead({0: 1})
    await settle()
    sending.asked[1].accept()
    await settle()
    assert orphan.accepted == [True]

    monkeypatch.setattr(producer, "REQUEST_SECONDS", 0.0)
    sending.client.lead({0: NOBODY})
    given_up = sending.put()
    await settle()
    assert given_up.complete.done()
    assert given_up.accepted == [False]
    assert [type(error) for error in sending.reasons] == [LeaderNotAvailableError]


async def test_partitions_that_are_added_are_used() -> None:
    sending = await begun({0: 1})
    sending.client.lead({1: 1})
    sending.put(partition=1)
    await settle()

    assert [*sending.asked[0].batches] == [1]


# --- callers that wait no longer ---


async def test_a_caller_that_gives_up_takes_nobody_along() -> None:
    sending = await begun()
    gone, there = sending.put(b"1"), sending.put(b"2")
    await settle()
    gone.complete.cancel()
    sending.asked[0].accept()
    await settle()

    assert there.complete.done()
    assert there.accepted == [True]


async def test_what_nobody_waits_for_any_more_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 1_000)
    sending = await begun()
    sending.put(b"1")
    await settle()
    given_up = [sending.put(b"." * 900) for _ in range(100)]
    last = sending.put(b"!" * 900)
    for outcomes in given_up:
        outcomes.complete.cancel()
    sending.asked[0].fail(KafkaConnectionError("closed"))
    for nth in (1, 2):
        await settle()
        sending.asked[nth].accept()
    await settle()

    assert [asked.values for asked in sending.asked] == [{0: [b"1"]}, {0: [b"1"]}, {0: [b"!" * 900]}]
    assert last.accepted == [True]


async def test_a_failure_that_nobody_waits_for_is_not_told() -> None:
    sending = await begun()
    sending.put().complete.cancel()
    await settle()
    assert not sending.asked

    gone = sending.put()
    await settle()
    gone.complete.cancel()
    sending.asked[0].accept({0: TOO_LARGE})
    await settle()
    assert not sending.reasons


async def test_of_what_was_answered_nothing_is_kept() -> None:
    sending = await begun()
    outcomes = sending.put()
    await settle()
    sending.asked.pop().accept()
    await settle()
    kept = ref(outcomes.complete)
    del outcomes

    gc.collect()
    assert kept() is None
    assert not sending.producer._serving


# --- the end ---


async def test_the_end_comes_when_everything_is_sent() -> None:
    sending = await begun({0: 1, 1: 2})
    ours = [sending.put(partition=0), sending.put(partition=1)]
    await settle()
    ours.append(sending.put(partition=0))
    ending = asyncio.create_task(sending.producer.close())
    await settle()
    with pytest.raises(ProducerClosed):
        sending.put()
    for asked in (0, 1, 2):
        assert not sending.client.closed
        sending.asked[asked].accept()
        await settle()
    await ending

    assert [outcomes.accepted for outcomes in ours] == [[True]] * 3
    assert sending.client.closed


async def test_what_cannot_be_sent_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sending = await begun({0: 1, 1: NOBODY})
    in_flight, orphan = sending.put(partition=0), sending.put(partition=1)
    await settle()
    behind = sending.put(partition=0)
    monkeypatch.setattr(producer, "REQUEST_SECONDS", 0.0)
    await sending.producer.close()

    for outcomes in (in_flight, orphan, behind):
        assert outcomes.complete.done()
        assert outcomes.accepted == [False]
    await settle()
    assert sending.client.closed
    assert not sending.producer._serving


async def test_an_error_of_ours_stops_no_partition_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    sending = await begun()
    unhandled: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    with monkeypatch.context() as broken:
        broken.setattr(sending.producer, "_settle", None)
        sending.put()
        await settle()
        sending.asked[0].accept()
        await settle()

    after = sending.put()
    await settle()
    sending.asked[1].accept()
    await settle()
    gc.collect()

    assert after.accepted == [True]
    assert [type(context["exception"]) for context in unhandled] == [TypeError]
