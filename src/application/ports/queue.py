"""The queue through which notifications enter, and its dead letters."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from application.errors import Unconfirmed
from application.letters import DeadLetter, Position, Progress
from application.passing import Seen
from application.records import Batch, Failure, Partition
from domain.identifiers import NotificationId
from domain.notification import Draft


class NotificationQueue(Protocol):
    """The queue that accepts notifications durably. Drafts of one user stay in order."""

    async def put(self, draft: Draft) -> None:
        """Return once the draft is durable. Raises Unconfirmed if that cannot be known in time."""
        ...

    async def put_all(self, drafts: Sequence[Draft]) -> Sequence[Unconfirmed | None]:
        """Put many. Returns for each None, or the error if it is not known to be durable."""
        ...


class QueueReader(Protocol):
    """A member of the group of consumers that share the queue's partitions."""

    async def start(self, revoked: Callable[[], Awaitable[None]]) -> None:
        """Join the group. `revoked` is awaited before partitions go to another member: it finishes and
        commits what is under way.
        """
        ...

    async def stop(self) -> None:
        """Leave the group, so that the others take over at once. Raises TimeoutError."""
        ...

    async def ping(self) -> None:
        """Raise Unavailable if the queue cannot be reached, or no partition is assigned."""
        ...

    async def next_batch(self, wait_seconds: float) -> Batch:
        """What has arrived, up to the size of a batch; wait at most this long for the first record.

        Raises NotRead.
        """
        ...

    async def read_alone(self, partition: Partition, shrunk: int = 0) -> Batch:
        """What comes next of a partition that was put back, up to the size of a batch halved `shrunk` times.

        Raises Unavailable, also where a batch cannot be unpacked: then the partition stays where it is.
        """
        ...

    def put_back(self, partition: Partition, offset: int) -> None:
        """Go to an offset and leave the partition out of `next_batch` until it was read alone. Does nothing
        if it is another member's by now.
        """
        ...

    def go_to(self, partition: Partition, offset: int) -> None:
        """Read a partition from this offset on. Does nothing if it is another member's by now."""
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit offsets; return whether that is done. If it is not, the records may come again."""
        ...

    async def behind(self) -> Mapping[Partition, int]:
        """How many records of each assigned partition are still to be read."""
        ...

    @property
    def assignments(self) -> int:
        """How often partitions were assigned to this member."""
        ...

    @property
    def rebalancing(self) -> bool:
        """Whether the group has taken the partitions away and has not assigned new ones yet."""
        ...


class DeadLetters(Protocol):
    """Keeps records that can never be stored, byte for byte, with the reason."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Disconnect. Raises TimeoutError."""
        ...

    async def put(self, letters: Sequence[Failure]) -> None:
        """Return once all of them are durable. If it raises, no offset may be committed past them."""
        ...


class DeadLetterBox(Protocol):
    """The dead letters that are kept."""

    @property
    def replays_to(self) -> str:
        """The topic to which records are replayed."""
        ...

    def read(
        self, progress: Progress, partitions: Collection[int] | None = None
    ) -> AsyncGenerator[DeadLetter, None]:
        """Every letter that exists when the call begins (in these partitions), by partition and offset."""
        ...

    async def get(self, position: Position) -> DeadLetter:
        """The letter at this position. Raises UnknownDeadLetter if there is none."""
        ...

    async def replay(self, letter: DeadLetter) -> None:
        """Return once the record is durable in its topic again, with its key, value, headers and id. A letter
        without a value cannot be replayed.
        """
        ...


class Passage(Protocol):
    """What is written to the queue and to its dead letters from now on. Watching it disturbs nobody."""

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        ...

    async def stop(self) -> None:
        """Disconnect. Raises TimeoutError."""
        ...

    async def next(self, wait_seconds: float) -> Sequence[Seen]:
        """What has been written since the last call, in the order of each partition; wait at most this long
        for the first. Raises Unavailable if some of it cannot be read, which the next call leaves out, or if
        the queue is out of reach.
        """
        ...


class IdempotencyKeys(Protocol):
    """Remembers for 24 hours which notification an idempotency key stands for."""

    async def claim(
        self, producer: str, key: str, fingerprint: str, notification: NotificationId
    ) -> NotificationId:
        """The id that the key stands for; if the key is new, this one.

        Raises KeyReused if the key came with another fingerprint.
        """
        ...
