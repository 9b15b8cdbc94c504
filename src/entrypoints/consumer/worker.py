"""Worker: batches from the queue into the feeds.

For each batch: commit in PostgreSQL, then announce to Redis and the live streams, then write the dead
letters, then commit the offsets. Each step may be repeated, so dying between any two loses nothing. The next
batch is stored while one is announced, and no batch waits for the offsets of another.

Records that fail because a server is unavailable are put back: their partitions are read again from there,
after a pause that grows, each alone, so that one that cannot proceed does not hold up the others. Meanwhile
nothing is kept in memory and the consumer stays a member of its group.

A partition that was stopped by a flood of bad records is read ahead: good records are stored, nothing is
buried or committed, and all of it is read again once it is clear who is at fault.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import TypeAlias

from application.delivery import Stored, StoreNotifications
from application.errors import Unavailable
from application.ports import Clock, DeadLetters, QueueReader
from application.records import Batch, Blame, Entry, Failure, NotRead, Part, Partition, Undecodable
from application.refused import ChargeRefused
from common import metrics
from domain.identifiers import NotificationId, UserId
from entrypoints.consumer.partitions import Partitions

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.2
# The pause between two batches of a partition that is read alone; the others are read meanwhile.
_ODD_SECONDS = 0.01

_Reasons: TypeAlias = Mapping[tuple[UserId, NotificationId], tuple[str, str]]
"""Why drafts are in no feed, by user and id: an error code and a readable reason."""


class Worker:
    """Reads batches and stores them until it is stopped."""

    def __init__(
        self,
        reader: QueueReader,
        store: StoreNotifications,
        dead_letters: DeadLetters,
        partitions: Partitions,
        clock: Clock,
        *,
        charge_refused: ChargeRefused | None = None,
    ) -> None:
        self._reader = reader
        self._store = store
        self._dead_letters = dead_letters
        self._partitions = partitions
        self._clock = clock
        self._charge_refused = charge_refused
        self._refused: list[str] = []
        """The API keys of the dead letters that were written, to be charged."""
        self._storing = asyncio.Lock()
        self._finishing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.turns = 0
        """How many batches were stored or put back."""

    def stop(self) -> None:
        """End the worker after its current batch."""
        self._stopping.set()

    async def join(self) -> None:
        """Join the group. Raises Unavailable."""
        await self._dead_letters.start()
        try:
            await self._reader.start(self.settle)
        except Unavailable:
            await self._dead_letters.stop()
            raise

    async def leave(self) -> None:
        """Leave the group, so that the other members take over immediately."""
        for part in (self._reader, self._dead_letters):
            try:
                await part.stop()
            except TimeoutError:
                logger.warning("leaving the Kafka group took too long")

    async def run(self) -> None:
        """Work until stopped. Everything that was read is stored and committed, or will be read again."""
        while not self._stopping.is_set():
            self._partitions.begin_read()
            batch = await self._next_batch()
            if batch.parts:
                await self._process(batch)
            else:
                self._partitions.begin_commit()  # of what the queue did not accept before
        async with self._storing:
            await self._finished()
            await self._partitions.committed()

    async def settle(self) -> None:
        """Wait until nothing is under way, then forget the partitions. A rebalance awaits this before
        partitions are revoked, so it must never wait for a read.
        """
        async with self._storing:
            await self._finished()
            await self._partitions.committed()
        self._partitions.clear()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    async def stopped_within(self, seconds: float) -> bool:
        """Wait this long; return early, with True, when told to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    # --- health and metrics ---

    @property
    def held(self) -> bool:
        """Whether a partition stands still."""
        return bool(self._partitions.standing_still)

    async def check_partitions(self) -> None:
        """Raise Unavailable with the reason of each partition that stands still, if any does."""
        held = sorted(self._partitions.standing_still.items())
        if held:
            raise Unavailable("; ".join(f"partition {one.partition}: {reason}" for one, reason in held))

    @property
    def under_way(self) -> bool:
        """Whether a batch is being stored or announced."""
        return self._storing.locked() or not (self._finishing is None or self._finishing.done())

    async def waiting(self) -> int:
        """How many records could be read now. Raises Unavailable."""
        behind = await self._reader.behind()
        metrics.LAG.set(sum(behind.values()) + self._partitions.floods.ahead)
        held = self._partitions.holds.reasons
        return sum(count for partition, count in behind.items() if partition not in held)

    # --- one batch ---

    async def _next_batch(self) -> Batch:
        """Return the records that have arrived, or the next ones of a partition that was put back and is due,
        read alone. These are fewer after each failure, in case there were too many for one transaction's
        time.
        """
        holds = self._partitions.holds
        due = holds.due()
        metrics.HELD.set(len(self._partitions.standing_still))
        if due is not None:
            return await self._read_alone(due)
        try:
            return await self._reader.next_batch(_WAIT_SECONDS)
        except NotRead as error:
            metrics.READ_FAILURES.inc()
            for partition in error.partitions:
                holds.read_alone(partition)
            await self.stopped_within(_WAIT_SECONDS)  # the cause may persist
            return Batch()

    async def _read_alone(self, partition: Partition) -> Batch:
        holds = self._partitions.holds
        try:
            batch = await self._reader.read_alone(partition, holds.failures(partition))
        except Unavailable as error:
            metrics.READ_FAILURES.inc()
            if holds.reasons.get(partition) != str(error):  # otherwise already logged
                logger.warning("partition %d was not read: %s", partition.partition, error)
            holds.hold(partition, str(error))
            return Batch()
        for part in batch.parts:
            if part.odd:
                holds.read_alone(part.partition, _ODD_SECONDS)
        if not batch.parts:
            holds.over(partition)
        return batch

    async def _process(self, batch: Batch) -> None:
        async with self._storing:
            try:
                with metrics.STORE.time():
                    stored = await self._store(batch.arrivals)
            except Unavailable as error:
                self._put_back(batch, error)
                return
            metrics.BATCH_SIZE.observe(batch.size)
            metrics.QUEUE_WAIT.observe(max(0.0, self._clock().timestamp() - batch.oldest / 1000))
            # Immediately: the announcer keeps the order.
            announcing = asyncio.create_task(self._store.announce(stored))
            await self._finished()
            for part in batch.parts:
                self._partitions.take_over(part)
            self._finishing = asyncio.create_task(self._finish(batch, stored, announcing))

    def _put_back(self, batch: Batch, error: Unavailable) -> None:
        metrics.STORE_RETRIES.inc()
        logger.warning("%d records were not stored and will be retried: %s", batch.size, error)
        for part in batch.parts:
            self._partitions.put_back(part.partition, part.first, str(error))
        self.turns += 1

    async def _finish(self, batch: Batch, stored: Stored, announcing: asyncio.Task[None]) -> None:
        await announcing
        appended = stored.appended
        proven = bool(appended.added or appended.changed or appended.present or appended.withheld)
        parts = self._partitions.without_read_ahead(batch.parts)
        if proven:
            self._partitions.floods.prove()
        reasons = reasons_of(stored)
        ends = await asyncio.gather(*(self._bury(part, reasons, proven=proven) for part in parts))
        offsets = self._partitions.dealt_with(parts, ends)
        self._partitions.begin_commit()
        refused, self._refused = self._refused, []
        if refused and self._charge_refused is not None:
            await self._charge_refused(refused)
        self._partitions.holds.succeeded(offsets)
        self.turns += 1
        metrics.ERASED_RECORDS.inc(len(appended.erased))
        metrics.CONSUMED.labels("stored").inc(sum(len(change.notifications) for change in appended.added))
        for withheld in appended.withheld:
            metrics.WITHHELD.labels(withheld.reason).inc()

    async def _bury(self, part: Part, reasons: _Reasons, *, proven: bool) -> int:
        """Write the part's dead letters. Return the offset up to which the part is stored or dead letters."""
        failures = {int(entry[0].offset): _failure(entry, reasons) for entry in part.entries}
        blames = {
            int(entry[0].offset): _blame(entry, failure)
            for entry, failure in zip(part.entries, failures.values(), strict=True)
        }
        flood = self._partitions.floods.judge(part.partition, blames.items(), proven=proven)
        end = part.end if flood is None else flood
        letters = [failure for offset, failure in failures.items() if failure is not None and offset < end]
        try:
            await self._dead_letters.put(letters)
        except Unavailable as error:
            logger.warning("%s", error)
            self._partitions.put_back(part.partition, part.first, str(error))
            return part.first
        metrics.CONSUMED.labels("dead").inc(len(letters))
        self._refused += [
            blame.key_id for offset, blame in blames.items() if blame and blame.key_id and offset < end
        ]
        if flood is not None:
            self._partitions.stop(part, flood, failures[flood])
        return end

    async def _finished(self) -> None:
        if self._finishing is not None:
            finishing, self._finishing = self._finishing, None
            await finishing


def reasons_of(stored: Stored) -> _Reasons:
    """Why drafts of a batch are in no feed."""
    unknown = {
        (draft.user_id, draft.id): ("unknown-user", "there is no such user")
        for draft in stored.appended.unknown
    }
    return unknown | {
        (draft.user_id, draft.id): (error.code, error.detail) for draft, error in stored.refused
    }


def _failure(entry: Entry, reasons: _Reasons) -> Failure | None:
    record, made = entry
    if isinstance(made, Undecodable):
        return record, made.code, str(made)
    if not reasons:  # nearly always, and the key is dear
        return None
    reason = reasons.get((made.user_id, made.id))
    return None if reason is None else (record, *reason)


def _blame(entry: Entry, failure: Failure | None) -> Blame | None:
    if failure is None:
        return None
    _, made = entry
    user = made.user if isinstance(made, Undecodable) else made.user_id
    return Blame(failure[1], made.key_id, user)
