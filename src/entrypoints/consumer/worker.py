"""Worker: batches from Kafka into the feeds.

For every batch: commit in PostgreSQL, then tell Redis and the live streams, then write the dead letters, then
commit the offsets. Each step may be repeated, so dying between any two loses nothing. While one batch is
announced the next is stored.

What fails because a server is away is put back: its partitions are read again from there, after a pause that
grows, each alone, so that one that cannot go on does not hold up the others. Meanwhile nothing is held in
memory and the group keeps its member.

A partition that a flood of bad records stopped is read on: what is good behind them is stored, nothing is
buried or committed, and all of it is read again once it is clear whose mistake they are.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from time import perf_counter, time
from typing import Any

from aiokafka import TopicPartition

from adapters.kafka.batch import Batch, Part
from adapters.kafka.codec import Undecodable
from adapters.kafka.dead_letters import KafkaDeadLetters
from adapters.kafka.inlet import KafkaInlet, NotRead
from application.delivery import Stored, StoreNotifications
from application.errors import Unavailable
from common import metrics
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft
from entrypoints.consumer.floods import Floods
from entrypoints.consumer.holds import Holds

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.2
# The other partitions have their turn between two batches of one that is read alone.
_ODD_SECONDS = 0.01

Failure = tuple[Any, str, str]
"""A record that is in no feed, with the code and the words of why."""


class Worker:
    """Reads batches and stores them, until it is told to stop."""

    def __init__(
        self,
        inlet: KafkaInlet,
        store: StoreNotifications,
        dead_letters: KafkaDeadLetters,
        *,
        bad_records_limit: int,
    ) -> None:
        self._inlet = inlet
        self._store = store
        self._dead_letters = dead_letters
        self._floods = Floods(bad_records_limit)
        self._holds = Holds()
        self._owed: dict[TopicPartition, int] = {}
        """From which offset on records were put back and not yet read again: no commit may pass it."""
        self._reads = 0
        self._returned: dict[TopicPartition, int] = {}
        """During which read a partition went back to what is owed: the reads after that begin there."""
        self._uncommitted: dict[TopicPartition, int] = {}
        """Offsets that are due and that Kafka has not taken yet."""
        self._storing = asyncio.Lock()
        self._finishing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.turns = 0
        """How many batches it is through with: stored, or put back."""

    def stop(self) -> None:
        """Finish what is under way, then end."""
        self._stopping.set()

    async def join(self) -> None:
        """Take a place in the group. Raises Unavailable."""
        await self._dead_letters.start()
        try:
            await self._inlet.start(self.settle)
        except Unavailable:
            await self._dead_letters.stop()
            raise

    async def leave(self) -> None:
        """Give the place up, so that the others take over at once."""
        for part in (self._inlet, self._dead_letters):
            try:
                await part.stop()
            except TimeoutError:
                logger.warning("Kafka did not let go in time")

    async def run(self) -> None:
        """Work until told to stop; everything that was read is stored and committed, or comes again."""
        while not self._stopping.is_set():
            self._go_back()
            self._reads += 1
            batch = await self._next_batch()
            if batch.parts:
                await self._process(batch)
            elif self._uncommitted:
                await self._commit_again()
        await self._settled()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    async def settle(self) -> None:
        """Wait until nothing is under way; what was put back is no longer ours. Awaited by a rebalance before
        partitions go, so it must never be held up by a read.
        """
        await self._settled()
        self._holds.clear()
        self._floods.clear()
        self._owed.clear()
        self._returned.clear()
        self._uncommitted.clear()

    async def stopped_within(self, seconds: float) -> bool:
        """Wait; return whether it was told to stop meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    # --- what the process says of itself ---

    async def ping(self) -> None:
        """Raise Unavailable while nothing can be read."""
        await self._inlet.ping()

    @property
    def held(self) -> bool:
        """Whether a partition stands still."""
        return bool(self._standing)

    async def check_partitions(self) -> None:
        """Raise Unavailable while a partition stands still, with the reason of each."""
        held = sorted(self._standing.items())
        if held:
            raise Unavailable("; ".join(f"partition {one.partition}: {reason}" for one, reason in held))

    @property
    def _standing(self) -> Mapping[TopicPartition, str]:
        return {**self._holds.reasons, **self._floods.reasons}

    @property
    def under_way(self) -> bool:
        """Whether a batch is being stored or announced."""
        return self._storing.locked() or not (self._finishing is None or self._finishing.done())

    async def waiting(self) -> int:
        """How many records wait to be read that could be. Raises Unavailable."""
        behind = await self._inlet.behind()
        metrics.LAG.set(sum(behind.values()) + self._floods.ahead)
        return sum(count for partition, count in behind.items() if partition not in self._holds.reasons)

    # --- one batch ---

    async def _next_batch(self) -> Batch:
        """What has arrived; or of a partition that was put back, and is due, what comes next: alone, and less
        each time it fails, in case there was too much for the time that a transaction has.
        """
        due = self._holds.due()
        metrics.HELD.set(len(self._standing))
        if due is not None:
            return await self._read_alone(due)
        try:
            return await self._inlet.next_batch(_WAIT_SECONDS)
        except NotRead as error:
            metrics.READ_FAILURES.inc()
            for partition in error.partitions:
                self._holds.read_alone(partition)
            await self.stopped_within(_WAIT_SECONDS)  # whatever it is, it may last
            return Batch()

    async def _read_alone(self, partition: TopicPartition) -> Batch:
        try:
            batch = await self._inlet.read_alone(partition, self._holds.failures(partition))
        except Unavailable as error:
            metrics.READ_FAILURES.inc()
            if self._holds.reasons.get(partition) != str(error):  # else it has been said
                logger.warning("partition %d was not read: %s", partition.partition, error)
            self._holds.hold(partition, str(error))
            return Batch()
        for part in batch.parts:
            if part.odd:
                self._holds.read_alone(part.partition, _ODD_SECONDS)
        if not batch.parts:
            self._holds.over(partition)
        return batch

    async def _process(self, batch: Batch) -> None:
        async with self._storing:
            started = perf_counter()
            try:
                stored = await self._store(batch.drafts)
            except Unavailable as error:
                metrics.STORE_RETRIES.inc()
                logger.warning("%d records were not stored, trying again: %s", batch.size, error)
                for part in batch.parts:
                    self._put_back(part.partition, part.first, str(error))
                self.turns += 1
                return
            metrics.STORE.observe(perf_counter() - started)
            metrics.BATCH_SIZE.observe(batch.size)
            metrics.QUEUE_WAIT.observe(max(0.0, time() - batch.oldest / 1000))
            # In order: what a batch announces follows what the batch before it announced.
            await self._finished()
            for part in batch.parts:
                self._take_over(part)
            self._finishing = asyncio.create_task(self._finish(batch, stored))

    async def _finish(self, batch: Batch, stored: Stored) -> None:
        await self._store.announce(stored)
        proven = bool(stored.appended.added or stored.appended.present)
        parts = self._without_what_is_ahead(batch.parts)
        if proven:
            self._floods.prove()
        reasons = _reasons(stored)
        ends = await asyncio.gather(*(self._bury(part, reasons, proven=proven) for part in parts))
        offsets = {
            part.partition: end
            for part, end in zip(parts, ends, strict=True)
            if part.first < end <= self._owed.get(part.partition, end)
        }
        self._uncommitted |= offsets
        await self._commit()
        self._holds.succeeded(offsets)
        self.turns += 1
        metrics.CONSUMED.labels("stored").inc(
            sum(len(change.notifications) for change in stored.appended.added)
        )

    async def _commit(self) -> None:
        if await self._inlet.commit(self._uncommitted):
            self._uncommitted.clear()

    async def _commit_again(self) -> None:
        """Nothing new arrives that an offset which was not taken could go with."""
        async with self._storing:
            await self._finished()
            await self._commit()

    def _without_what_is_ahead(self, parts: Sequence[Part]) -> Sequence[Part]:
        """What comes again, after what is owed before it: of that nothing is buried or committed."""
        mine: list[Part] = []
        for part in parts:
            if part.first <= self._owed.get(part.partition, part.first):
                mine.append(part)
            else:
                self._floods.read_ahead(part.partition, part.end)
        return mine

    async def _bury(
        self, part: Part, reasons: Mapping[tuple[UserId, NotificationId], tuple[str, str]], *, proven: bool
    ) -> int:
        """Keep the part's dead letters. Return up to where the part is dealt with."""
        failures = {int(record.offset): _failure(record, made, reasons) for record, made in part.entries}
        flood = self._floods.judge(
            part.partition, [(offset, failures[offset] is not None) for offset in failures], proven=proven
        )
        end = part.end if flood is None else flood
        letters = [failure for offset, failure in failures.items() if failure is not None and offset < end]
        try:
            await self._dead_letters.put(letters)
        except Unavailable as error:
            logger.warning("%s", error)
            self._put_back(part.partition, part.first, str(error))
            return part.first
        metrics.CONSUMED.labels("dead").inc(len(letters))
        if flood is not None:
            self._stop(part, flood, failures[flood])
        return end

    def _stop(self, part: Part, offset: int, failure: Failure | None) -> None:
        """Leave a partition where it is, and read on ahead of that."""
        reason = f"stopped at offset {offset} by too many bad records, the last one: {failure and failure[2]}"
        ahead = self._floods.stop(part.partition, offset, part.end, reason)
        self._owed[part.partition] = offset
        self._returned.pop(part.partition, None)
        if ahead > part.end:
            self._inlet.go_to(part.partition, ahead)

    def _go_back(self) -> None:
        """Read from where they stopped the partitions for which it is time. Not while a read is under way,
        so that it is plain from when on they are read again.
        """
        for partition, offset in self._floods.due().items():
            self._returned[partition] = self._reads
            self._inlet.go_to(partition, offset)

    def _put_back(self, partition: TopicPartition, offset: int, reason: str) -> None:
        self._owed[partition] = min(offset, self._owed.get(partition, offset))
        self._returned[partition] = self._reads
        self._floods.returned(partition)
        self._inlet.put_back(partition, self._owed[partition])
        self._holds.hold(partition, reason)

    def _take_over(self, part: Part) -> None:
        """What was put back is this part's, if it was read again from there on; not if it was read before.
        What is owed may be gone by then, with the topic's retention: then it is read from what is left.
        """
        partition = part.partition
        read_again = self._reads > self._returned.get(partition, self._reads)
        if partition in self._owed and (part.first <= self._owed[partition] or read_again):
            del self._owed[partition]
            self._returned.pop(partition, None)

    async def _settled(self) -> None:
        async with self._storing:
            await self._finished()

    async def _finished(self) -> None:
        if self._finishing is not None:
            finishing, self._finishing = self._finishing, None
            await finishing


def _reasons(stored: Stored) -> Mapping[tuple[UserId, NotificationId], tuple[str, str]]:
    """Why drafts are in no feed, by whom they are for and their ids."""
    unknown = {
        (draft.content.user_id, draft.id): ("unknown-user", "there is no such user")
        for draft in stored.appended.unknown
    }
    return unknown | {
        (draft.content.user_id, draft.id): (error.code, error.detail) for draft, error in stored.refused
    }


def _failure(
    record: Any,
    made: Draft | Undecodable,
    reasons: Mapping[tuple[UserId, NotificationId], tuple[str, str]],
) -> Failure | None:
    if isinstance(made, Undecodable):
        return record, made.code, str(made)
    reason = reasons.get((made.content.user_id, made.id))
    return None if reason is None else (record, *reason)
