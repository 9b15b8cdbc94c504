"""RedisAnnouncer: announces committed changes to the unread index, then to the streams of every process."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec
from redis.asyncio import Redis

from adapters.redis import scripts
from adapters.redis.evaluating import Call, Script
from adapters.redis.index import Entry, applied, entry
from adapters.redis.macs import Macs
from adapters.redis.names import channel, control_channel
from adapters.redis.nodes import Nodes
from application.errors import Unavailable
from application.pages import Rendered
from application.ports import Clock, Jitter
from application.streams import Frame
from common import metrics, wire
from common.tracing import Trail
from domain.feed import Chosen, Feed, FeedChange, Settled
from domain.identifiers import UserId

logger = logging.getLogger(__name__)

_pack = msgspec.msgpack.Encoder().encode

# How many feeds one script call may change: Redis does nothing else meanwhile.
_CHUNK = 250
# Sharded publish/subscribe: an ordinary PUBLISH goes to every node of a cluster.
_APPLY = Script(scripts.APPLY)
_APPLY_IN_CLUSTER = Script(scripts.APPLY.replace("'PUBLISH'", "'SPUBLISH'"))
_HEAL_EVERY_SECONDS = 0.25
_HEAL_CHUNK = 1_000
# With more feeds than this it is cheaper to have every stream compare itself than to remember them.
_REMEMBERED_FEEDS = 100_000

# The frames of one announcement have at most this together: those beyond are sent as bare positions. Redis
# drops subscribers that are too far behind (client-output-buffer-limit): by default 32 MiB, or 8 MiB for a
# minute.
_ANNOUNCED_CHARACTERS = 4 * 1024 * 1024

RESYNC = "resync"
"""The order on the control channel that every stream must compare itself with the store. Its value is the
time (Unix milliseconds), which makes each order another one."""


class RedisAnnouncer:
    """Announces in one round trip. Changes that arrive meanwhile wait and are announced together, so
    announcements keep their order, and many small ones cost little.

    Feeds that could not be announced are announced later, as bare positions.
    """

    def __init__(
        self,
        server: Nodes,
        prefix: str,
        macs: Macs,
        capacity: int,
        jitter: Jitter,
        *,
        clock: Clock,
        remembered_feeds: int = _REMEMBERED_FEEDS,
        trail: Trail | None = None,
    ) -> None:
        """`trail` knows the spans of changes; None where tracing is off."""
        self._server = server
        self._prefix = prefix
        self._macs = macs
        self._clock = clock
        self._capacity = capacity
        self._jitter = jitter
        self._remembered_feeds = remembered_feeds
        self._trail = trail
        self._unannounced: dict[UserId, Feed] = {}
        self._all_unannounced = False
        self._waiting: list[tuple[Sequence[FeedChange], asyncio.Future[None]]] = []
        self._announcing: asyncio.Task[None] | None = None

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        announced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((changes, announced))
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce_waiting())
        await announced

    async def run(self) -> None:
        """Announce the feeds that could not be announced, until cancelled."""
        while True:
            await asyncio.sleep(_HEAL_EVERY_SECONDS)
            if self._all_unannounced or self._unannounced:
                try:
                    await self.heal()
                except Unavailable:
                    continue

    async def heal(self) -> None:
        """Announce them now. Raises Unavailable if Redis still is."""
        if self._all_unannounced:
            # Set first: a failure from here on must be remembered again, even for what was deleted already.
            self._all_unannounced = False
            try:
                await self.forget_everything()
            except Exception:  # also a surprise of the driver
                self._all_unannounced = True
                raise
        known = list(self._unannounced.values())
        for start in range(0, len(known), _HEAL_CHUNK):
            feeds = known[start : start + _HEAL_CHUNK]
            missed = {change.feed.user_id for change in await self._send([Settled(feed) for feed in feeds])}
            for feed in feeds:
                if feed.user_id not in missed and self._unannounced.get(feed.user_id) == feed:
                    del self._unannounced[feed.user_id]
        metrics.UNTOLD.set(len(self._unannounced))
        if self._unannounced:
            raise Unavailable("Redis is out of reach. Try again shortly.")
        logger.info("Redis is back, and the missed changes are announced")

    async def _announce_waiting(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            await self._announce_together([change for changes, _ in waiting for change in changes])
            for _, announced in waiting:
                if not announced.done():  # otherwise the caller was cancelled
                    announced.set_result(None)
        self._announcing = None

    async def _announce_together(self, changes: Sequence[FeedChange]) -> None:
        with metrics.ANNOUNCE.time():
            try:
                missed = await self._send(changes)
            except Unavailable:
                self._remember(changes)
            except Exception:
                logger.exception("an announcement failed and will be repeated as bare positions")
                self._remember(changes)
            else:
                self._remember(missed)

    async def _send(self, changes: Sequence[FeedChange]) -> Sequence[FeedChange]:
        """Announce changes. Returns those that could not be, or raises Unavailable if none could be."""
        entries: list[Entry] = []
        frames: list[Frame] = []
        left = _ANNOUNCED_CHARACTERS
        for change in changes:
            items = _render_all(change)
            entries.append(entry(change, items, self._macs))
            frame = wire.frame(change, items)
            left -= len(frame.text)
            frames.append(frame if left >= 0 else wire.frame(Settled(change.feed), ()))
        if self._server.clustered:
            return await self._to_each_node(changes, entries, frames)
        parts = [slice(start, start + _CHUNK) for start in range(0, len(entries), _CHUNK)]
        await self._server.each(_APPLY, [self._call(entries[part], frames[part]) for part in parts])
        return ()

    async def _to_each_node(
        self, changes: Sequence[FeedChange], entries: Sequence[Entry], frames: Sequence[Frame]
    ) -> Sequence[FeedChange]:
        """A call for each user, because each has another slot."""
        of_users: dict[UserId, list[int]] = {}
        for at, frame in enumerate(frames):
            of_users.setdefault(frame.user_id, []).append(at)
        calls = [
            self._call([entries[at] for at in own], [frames[at] for at in own]) for own in of_users.values()
        ]
        answers = await self._server.each(_APPLY_IN_CLUSTER, calls)
        return [
            changes[at]
            for own, answer in zip(of_users.values(), answers, strict=True)
            if isinstance(answer, Exception)
            for at in own
        ]

    def _call(self, entries: Sequence[Entry], frames: Sequence[Frame]) -> Call:
        """What applies and publishes changes: of one user, where Redis is a cluster."""
        return applied(self._prefix, self._capacity, entries, self._jitter, self._messages(frames))

    def _messages(self, frames: Iterable[Frame]) -> Iterator[str | bytes]:
        """A channel and its message, for each user."""
        rows: dict[UserId, list[tuple[object, ...]]] = {}
        for frame in frames:
            packed = rows.setdefault(frame.user_id, [])
            if self._trail is not None and (context := self._trail.of(frame.user_id, frame.version)):
                packed.append(_context(context))
            packed.append(_packed(frame))
        for user, own in rows.items():
            name = channel(self._prefix, user)
            yield name
            yield message(self._macs, name, own)

    def _remember(self, changes: Sequence[FeedChange]) -> None:
        for change in changes:
            if self._trail is not None:
                self._trail.missed(change.feed.user_id, change.feed.version)
            known = self._unannounced.get(change.feed.user_id)
            if known is None or known.version < change.feed.version:
                self._unannounced[change.feed.user_id] = change.feed
        if len(self._unannounced) > self._remembered_feeds:
            self._all_unannounced = True
            self._unannounced.clear()
        metrics.UNTOLD.set(self._remembered_feeds if self._all_unannounced else len(self._unannounced))

    async def forget_everything(self) -> None:
        """Delete the index, and have all streams compare themselves with the store. Raises Unavailable."""
        masters = await self._server.masters()
        for master in masters:
            await master.ask(master.client.ping)  # before anything is deleted in vain
        at = int(self._clock().timestamp() * 1000)
        order = self._macs.value(RESYNC, b"%d" % at)
        for master in masters:
            await master.ask(partial(self._forget, master.client, order))

    async def _forget(self, client: Redis, order: bytes) -> None:
        for kind in ("lease", "feed", "unread"):
            async for key in client.scan_iter(match=f"{self._prefix}:{kind}:*", count=1_000):
                await client.unlink(key)
        await client.publish(control_channel(self._prefix), order)


def message(macs: Macs, name: str, rows: Sequence[tuple[object, ...]]) -> bytes:
    """Packed frames as a message for the channel of this name."""
    return macs.value(name, _pack(rows))


def _render_all(change: FeedChange) -> Sequence[Rendered]:
    if isinstance(change, Settled | Chosen):
        return ()
    return [wire.render(item) for item in change.notifications or ()]


def _context(traceparent: str) -> tuple[object, ...]:
    """The context of the next frame, as a frame for nobody: processes without tracing ignore it, also those
    of an earlier release.
    """
    return "", traceparent, 0, 0, "", (), None


def _packed(frame: Frame) -> tuple[object, ...]:
    return (
        frame.user_id,
        frame.epoch,
        frame.prev,
        frame.version,
        frame.text,
        frame.unread_ids,
        frame.accepted_at,
    )
