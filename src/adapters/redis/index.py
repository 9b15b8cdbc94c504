"""RedisUnreadIndex: the newest unread notifications of recent feeds, in one round trip."""

import random
import secrets
from collections.abc import Iterable, Sequence

import msgspec

from adapters import metrics
from adapters.redis import scripts
from adapters.redis.server import RedisServer
from application.errors import Unavailable
from application.ports import Missing, Rendered, UnreadPage
from domain.feed import Added, Feed, FeedChange, Marked
from domain.identifiers import NotificationId, UserId

# Longer than a statement of PostgreSQL may take: what is loaded was read while the lease was held.
_LEASE_MS = 15_000
# How long an entry lives that a crash between a commit and its announcement left behind.
_TTL_MS = 10 * 60 * 1000

# user, epoch, prev, version, unread count, applicable, ids to remove, items to add
Entry = tuple[str, str, int, int, int, bool, Sequence[str], Sequence[str]]


class RedisUnreadIndex:
    """The unread index in Redis. See scripts.py for its protocol."""

    def __init__(self, server: RedisServer, prefix: str, capacity: int) -> None:
        self._server = server
        self._prefix = prefix
        self.capacity = capacity
        self._page = server.client.register_script(scripts.PAGE)
        self._load = server.client.register_script(scripts.LOAD)

    async def page(self, user: UserId, limit: int, before: NotificationId | None) -> UnreadPage | Missing:
        lease = secrets.token_hex(8)
        highest = "+" if before is None else f'({{"id":"{before}"'
        try:
            found = await self._server.ask(
                lambda: self._page(keys=self._keys(user), args=[limit, highest, lease, _LEASE_MS])
            )
        except Unavailable:
            metrics.INDEX.labels("away").inc()
            return Missing(None)
        if not found[0]:
            metrics.INDEX.labels("miss").inc()
            return Missing(lease if found[1] else None)
        metrics.INDEX.labels("hit").inc()
        feed = Feed(user, found[1].decode(), int(found[2]), int(found[3]))
        items = found[4:]
        return UnreadPage(feed, items[:limit], more=len(items) > limit)

    async def load(self, page: UnreadPage, lease: str) -> None:
        feed = page.feed
        state: list[str | int] = [
            lease,
            feed.epoch,
            feed.version,
            feed.unread_count,
            0 if page.more else 1,
            _time_to_live(),
        ]
        try:
            await self._server.ask(
                lambda: self._load(keys=self._keys(feed.user_id), args=[*state, *page.items])
            )
        except Unavailable:
            metrics.INDEX.labels("away").inc()

    def _keys(self, user: UserId) -> list[str]:
        return [f"{self._prefix}:{kind}:{user}" for kind in ("feed", "unread", "lease")]


def application(prefix: str, capacity: int, entries: Iterable[Entry]) -> list[str | int | bytes]:
    """The EVAL arguments that have the index apply changes."""
    changes = msgspec.msgpack.encode(list(entries))
    return [scripts.APPLY, 0, prefix, capacity, _time_to_live(), changes]


def entry(change: FeedChange, items: Sequence[Rendered]) -> Entry:
    """What a change means for the index: which notifications leave it and which enter.

    As text: the MessagePack of Redis' Lua knows no binary type.
    """
    feed = change.feed
    head = feed.user_id, feed.epoch
    match change:
        case Added():
            added = [body.decode() for body in items]
            return *head, change.prev, feed.version, feed.unread_count, True, (), added
        case Marked(notifications=tuple() as marked):
            gone = [str(item.id) for item in marked]
            unread = [body.decode() for item, body in zip(marked, items, strict=True) if item.unread]
            return *head, change.prev, feed.version, feed.unread_count, True, gone, unread
        case _:
            return *head, feed.version, feed.version, feed.unread_count, False, (), ()


def _time_to_live() -> int:
    """Jittered, so that what was loaded together does not expire together."""
    return int(_TTL_MS * random.uniform(0.9, 1.1))  # noqa: S311 - not a secret
