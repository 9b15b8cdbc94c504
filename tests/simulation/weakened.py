"""The service with one precaution taken away. If the simulation did not notice, nobody would."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from adapters.kafka.reader import KafkaQueueReader
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.server import RedisServer
from adapters.websocket.hub import Hub
from application.delivery import Stored, StoreNotifications
from application.following import LIVE, PASS_ON, Following
from application.following_actions import Action
from application.marks import Marks
from application.ports import Connection
from application.records import Batch, NotRead, Part
from application.streams import Frame
from domain.feed import FeedChange, Marked
from domain.identifiers import UserId
from entrypoints.consumer.partitions import Partitions
from entrypoints.live.session import Session
from entrypoints.live.sessions import Sessions
from entrypoints.live.streaming import Hello, Streaming
from tests.simulation.processes import Parts
from tests.simulation.redis import Rules


class CommitsFirst(KafkaQueueReader):
    """Commits what it has read before it is stored."""

    async def next_batch(self, wait_seconds: float) -> Batch:
        batch = await super().next_batch(wait_seconds)
        await self.commit({part.partition: part.end for part in batch.parts})
        return batch


class ReadsOnAfterAnError(KafkaQueueReader):
    """Leaves the positions where a read that failed has moved them."""

    def _undone(self, error: Exception) -> NotRead:
        return NotRead([], repr(error))


class ForgetsWhatIsOwed(Partitions):
    """Commits a batch although records before it were put back."""

    def take_over(self, part: Part) -> None:
        self._owed.pop(part.partition, None)


class SilentOnRedelivery(StoreNotifications):
    """Announces only what is new."""

    async def announce(self, stored: Stored) -> None:
        new = replace(stored, appended=replace(stored.appended, present=()))
        await StoreNotifications.announce(self, new)


class SilentOnNoChange(Marks):
    """Does not announce a mark that changed nothing: a retry after a crash."""

    async def _announce(self, made: Sequence[Marked]) -> None:
        await super()._announce([marked for marked in made if marked.changed])


class LatestWins(Session):
    """Passes on whatever is newer, also if something is missing before it."""

    def __init__(self, streaming: Streaming, hello: Hello, connection: Connection) -> None:
        super().__init__(streaming, hello, connection)
        self.following = PassesOnWhateverIsNewer(hello.cursor, auto=hello.auto, now=streaming.now)


class PassesOnWhateverIsNewer(Following):
    """Does not look at what a frame follows."""

    def take(self, frame: Frame) -> Sequence[Action]:
        if self.state is not LIVE or frame.version <= self._version or not frame.text:
            return ()
        self._version = frame.version
        return PASS_ON


class NeverCompares(Sessions):
    """Does not compare positions with the feeds: what else went wrong stays so."""

    def _next_of_round(self) -> Sequence[Session]:
        return ()


class DeafToLoss(Hub):
    """Does not have streams compare themselves with the truth after the carrier was away."""

    def lost(self, user: UserId | None = None) -> None:
        return


class ForgetsUntold(RedisAnnouncer):
    """Does not remember what Redis could not be told."""

    def _remember(self, changes: Sequence[FeedChange]) -> None:
        return


class StaysWithTheDemoted(RedisServer):
    """Keeps its connections to a Redis that is a replica by now."""

    async def leave(self) -> None:
        return


WEAKENED: Final = {
    "offsets are committed before the records are stored": Parts(inlet=CommitsFirst),
    "a read that failed is not taken back": Parts(inlet=ReadsOnAfterAnError),
    "an offset passes records that were put back": Parts(partitions=ForgetsWhatIsOwed),
    "what is redelivered is not announced": Parts(store=SilentOnRedelivery),
    "a repeated mark is not announced": Parts(marks=SilentOnNoChange),
    "the index takes a change that does not follow": Parts(rules=Rules(checks_versions=False)),
    "the index is loaded without a lease": Parts(rules=Rules(checks_leases=False)),
    "a change leaves leases alone": Parts(rules=Rules(voids_leases=False)),
    "a stream passes on frames after a gap": Parts(session=LatestWins),
    "a lost carrier is not made up for": Parts(hub=DeafToLoss, sessions=NeverCompares),
    "what Redis was not told is forgotten": Parts(announcer=ForgetsUntold),
    "a demoted Redis is asked again and again": Parts(redis_server=StaysWithTheDemoted),
}
"""By the bug."""
