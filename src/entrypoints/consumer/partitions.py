"""Partitions: the offset that this consumer owes in each, and which of them stand still."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from application.ports import QueueReader
from application.records import Failure, Part, Partition
from entrypoints.consumer.floods import Floods
from entrypoints.consumer.holds import Holds


class Partitions:
    """From where each assigned partition is read, and up to where its offsets may be committed."""

    def __init__(self, reader: QueueReader, holds: Holds, floods: Floods) -> None:
        self.holds = holds
        self.floods = floods
        self._reader = reader
        self._owed: dict[Partition, int] = {}
        """The offset from which records were put back and not yet read again: no commit may pass it."""
        self._reads = 0
        self._returned: dict[Partition, int] = {}
        """The number of the read before which a partition was rewound to its owed offset."""
        self.due_offsets: dict[Partition, int] = {}
        """Offsets that may be committed and that the queue has not accepted yet."""
        self._committing: asyncio.Task[None] | None = None

    @property
    def standing_still(self) -> Mapping[Partition, str]:
        """The partitions that stand still, each with the reason."""
        return {**self.holds.reasons, **self.floods.reasons}

    def begin_read(self) -> None:
        """Rewind the partitions that are due. Never called during a read, so that it is clear which reads
        begin at the owed offset.
        """
        for partition, offset in self.floods.due().items():
            self._returned[partition] = self._reads
            self._reader.go_to(partition, offset)
        self._reads += 1

    def put_back(self, partition: Partition, offset: int, reason: str) -> None:
        """Read a partition from this offset again, alone, after a pause that grows."""
        self._owed[partition] = min(offset, self._owed.get(partition, offset))
        self._returned[partition] = self._reads
        self.floods.returned(partition)
        self._reader.put_back(partition, self._owed[partition])
        self.holds.hold(partition, reason)

    def take_over(self, part: Part) -> None:
        """Clear what the partition owes if this part was read from the owed offset on.

        Retention may have deleted the owed offset by then: the part begins with the oldest record left.
        """
        partition = part.partition
        read_again = self._reads > self._returned.get(partition, self._reads)
        if partition in self._owed and (part.first <= self._owed[partition] or read_again):
            del self._owed[partition]
            self._returned.pop(partition, None)

    def without_read_ahead(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Leave out parts beyond an owed offset: they are read again, and buried and committed then."""
        mine: list[Part] = []
        for part in parts:
            if part.first <= self._owed.get(part.partition, part.first):
                mine.append(part)
            else:
                self.floods.read_ahead(part.partition, part.end)
        return mine

    def stop(self, part: Part, offset: int, failure: Failure | None) -> None:
        """Stop a partition at this offset, where a flood began, and read ahead of it."""
        reason = f"stopped at offset {offset} by too many bad records, the last one: {failure and failure[2]}"
        ahead = self.floods.stop(part.partition, offset, part.end, reason)
        self._owed[part.partition] = offset
        self._returned.pop(part.partition, None)
        if ahead > part.end:
            self._reader.go_to(part.partition, ahead)

    def dealt_with(self, parts: Iterable[Part], ends: Iterable[int]) -> Mapping[Partition, int]:
        """Note up to which offsets parts are stored or dead letters. Return those that may be committed."""
        offsets = {
            part.partition: end
            for part, end in zip(parts, ends, strict=True)
            if part.first < end <= self._owed.get(part.partition, end)
        }
        self.due_offsets |= offsets
        return offsets

    def begin_commit(self) -> None:
        """Commit the offsets that are due, unless that is under way: then those of later batches follow."""
        if self._committing is not None and not self._committing.done():
            return
        if self._committing is not None:
            self._committing.result()  # raises what is a defect
        if self.due_offsets:
            self._committing = asyncio.create_task(self._commit_due())

    async def committed(self) -> None:
        """Wait for the commit that is under way."""
        if self._committing is not None:
            await self._committing

    async def _commit_due(self) -> None:
        while self.due_offsets and await self._commit():
            pass

    async def _commit(self) -> bool:
        """Commit the offsets that may be committed. Return whether the queue accepted them; if not, they
        are kept.
        """
        offsets = dict(self.due_offsets)
        accepted = await self._reader.commit(offsets)
        if accepted:
            for partition, offset in offsets.items():
                if self.due_offsets.get(partition) == offset:  # otherwise a later one became due meanwhile
                    del self.due_offsets[partition]
        return accepted

    def clear(self) -> None:
        """Forget everything: other members have the partitions now."""
        for held in (self.holds, self.floods, self._owed, self._returned, self.due_offsets):
            held.clear()
