"""RedisUnreadIndex: the newest unread notifications of recent feeds, in one round trip."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from hmac import compare_digest
from itertools import count, takewhile
from operator import gt
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from adapters.redis import answers, scripts
from adapters.redis.evaluating import Call, Script
from adapters.redis.macs import Macs
from adapters.redis.names import around_user, index_keys
from adapters.redis.nodes import Nodes
from adapters.redis.verified import Part, Verified, VerifiedPages
from application.errors import Unavailable
from application.pages import ITEM_BYTES, PAGE_BYTES, IndexEntry, Missing, Rendered, RenderedPage
from application.ports import Jitter, NewToken
from common import metrics
from domain.feed import Added, Chosen, Edited, Feed, FeedChange, Marked
from domain.identifiers import NotificationId, UserId, is_user_id

# Longer than a PostgreSQL statement may take: the rows loaded were read while the lease was valid.
_LEASE_MS = 15_000
# How long an entry lives that a crash between commit and announcement left stale.
_TTL_MS = 10 * 60 * 1000

# What the script answers if the caller has the page already.
_UNCHANGED = 2

# Stands for an entry whose keys have another type: it does not verify.
_NOT_OURS = (b"", b"", b"", b"", b"", b"")

_AWAY, _MISS, _HIT = (metrics.INDEX.labels(outcome) for outcome in ("away", "miss", "hit"))

# How many keys one SCAN examines, and how many steps one sample may take.
_SCAN_KEYS = 500
_SCAN_STEPS = 20

# user, epoch, prev, version, unread count, other counts, code of the head, applicable, ids to remove,
# items to add
Entry = tuple[str, str, int, int, int, str, str, bool, Sequence[str], Sequence[str]]


class _Held(msgspec.Struct):
    """The fields that are read from a notification's JSON."""

    id: NotificationId
    version: int


class _Others(msgspec.Struct, array_like=True):
    """What an entry holds of a feed beside its position and the unread count."""

    unseen_count: int
    unread_in: dict[str, int]
    preferences_version: int


_read = msgspec.json.Decoder(_Held).decode
_read_others = msgspec.json.Decoder(_Others).decode
_encode = msgspec.json.Encoder().encode


class _Question(NamedTuple):
    call: Call
    answer: "asyncio.Future[Any]"


class RedisUnreadIndex:
    """The unread index in Redis. See scripts.py for its protocol.

    Pages that are requested at the same time are read together: a command costs the client more than the
    script costs Redis.

    An entry that does not verify was not written by Bellwire, or with another secret: it is dropped, and is a
    miss.
    """

    def __init__(  # noqa: PLR0917 - as the announcer
        self,
        server: Nodes,
        prefix: str,
        macs: Macs,
        capacity: int,
        jitter: Jitter,
        new_token: NewToken,
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._macs = macs
        self._jitter = jitter
        self._token = new_token(8)
        self._leases = count()
        self.capacity = capacity
        self._page = Script(scripts.PAGE)
        self._load = Script(scripts.LOAD)
        self._asked: list[_Question] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._verified = VerifiedPages()
        self._scanned: deque[UserId] = deque()
        self._scan_at = 0
        self._scanned_masters = 0

    async def page(self, user: UserId, limit: int, before: NotificationId | None) -> RenderedPage | Missing:
        lease = f"{self._token}{next(self._leases):x}"
        part = limit, "+" if before is None else f'({{"id":"{before}"'
        held = self._verified.get(user, part)
        known = b"" if held is None else held.head
        question = _Question(
            (self._keys(user), (*part, lease, _LEASE_MS, PAGE_BYTES, known)),
            asyncio.get_running_loop().create_future(),
        )
        self._ask_soon(question)
        try:
            found = await question.answer
        except Unavailable:
            _AWAY.inc()
            return Missing(None)
        if held is not None and found == _UNCHANGED:
            _HIT.inc()
            return held.page
        if not isinstance(found, bytes):
            _MISS.inc()
            return Missing(lease if found else None)
        verified = self._verify(user, part, found)
        if verified is None or not _is_before(verified.page.items, before):
            await self._refuse(user)
            return Missing(None)
        self._verified.keep(user, verified)
        _HIT.inc()
        return verified.page

    async def load(self, page: RenderedPage, lease: str) -> None:
        feed = page.feed
        kept = list(takewhile(_fits, page.items))
        stamp = self._macs.stamper(feed.user_id, feed.epoch)
        words: list[str | int | bytes] = [
            lease,
            feed.epoch,
            *_head(feed, self._macs),
            0 if page.more or len(kept) < len(page.items) else 1,
            _time_to_live(self._jitter),
            *map(stamp, kept),
        ]
        keys = self._keys(feed.user_id)
        try:
            await self._server.on(keys[0], lambda client: self._load(client, keys=keys, args=words))
        except Unavailable:
            _AWAY.inc()

    async def sample(self, count: int) -> Sequence[UserId]:
        try:
            await self._scan(count)
        except Unavailable:
            _AWAY.inc()
        return [self._scanned.popleft() for _ in range(min(count, len(self._scanned)))]

    async def entry(self, user: UserId) -> IndexEntry | None:
        try:
            state, items = await self._server.on(
                self._keys(user)[0], lambda client: self._entry(client, user)
            )
        except Unavailable:
            _AWAY.inc()
            return None
        if state[0] is None:
            return None
        feed = self._feed(user, state[:5])
        found = None if feed is None else self._macs.unstamped(user, state[0], items)
        if feed is None or found is None:
            await self._refuse(user)
            return None
        complete = state[5] == b"1"
        if (
            complete and len(items) != feed.unread_count
        ):  # Redis evicted a part of it, so it counts as missing
            return None
        held = tuple((item.id, item.version) for item in map(_read, found))
        return IndexEntry(feed, held, complete)

    async def forget(self, user: UserId) -> None:
        feed, unread, _ = self._keys(user)
        try:
            await self._server.on(feed, lambda client: client.delete(feed, unread))
        except Unavailable:
            _AWAY.inc()

    def _verify(self, user: UserId, part: Part, found: bytes) -> Verified | None:
        """The page that the script found; None if it does not verify."""
        *head, more = (parts := found.split(b"\0"))[:6]
        feed = self._feed(user, head)
        items = None if feed is None else self._macs.unstamped(user, head[0], parts[6:])
        if feed is None or items is None or not _newest_first(items):
            return None
        return Verified(part, b"\0".join(head), RenderedPage(feed, items, more=more == b"1"))

    def _feed(self, user: UserId, head: Sequence[Any]) -> Feed | None:
        """The feed that the head of an entry names; None if it does not verify. Each part of the head is
        bytes, or None if it is missing.
        """
        if None in head:
            return None
        epoch, version, count, others, code = head
        if not compare_digest(self._macs.head(user, epoch, version, count, others).encode(), code):
            return None
        more = _read_others(others)
        return Feed(
            user,
            epoch.decode(),
            int(version),
            int(count),
            more.unseen_count,
            more.unread_in,
            more.preferences_version,
        )

    async def _refuse(self, user: UserId) -> None:
        metrics.REDIS_REFUSED.labels("index").inc()
        await self.forget(user)

    async def erase(self, user: UserId) -> None:
        # With the lease, so that nothing that was read before is loaded after it.
        keys = self._keys(user)
        await self._server.on(keys[0], lambda client: client.delete(*keys))

    async def _entry(self, client: Redis, user: UserId) -> tuple[Sequence[Any], Sequence[bytes]]:
        feed, unread, _ = self._keys(user)
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.execute_command("HMGET", feed, "e", "v", "n", "k", "m", "c")
            pipeline.execute_command(
                "ZRANGE", unread, "+", "-", "BYLEX", "REV", "LIMIT", 0, self.capacity + 1
            )
            found = await pipeline.execute(raise_on_error=False)
        for answer in found:
            if isinstance(answer, Exception) and not answers.is_about_one_key(answer):
                raise answer
        if any(isinstance(answer, Exception) for answer in found):
            return _NOT_OURS, ()
        return found[0], found[1]

    async def _scan(self, count: int) -> None:
        """Continue the scan where the last sample ended, at most to the end of what one server has."""
        masters = await self._server.masters()
        first, last = around_user(self._prefix, "feed")
        master = masters[self._scanned_masters % len(masters)]
        for _ in range(_SCAN_STEPS):
            if len(self._scanned) >= count:
                return
            try:
                self._scan_at, keys = await master.ask(
                    lambda: master.client.scan(self._scan_at, match=f"{first}*{last}", count=_SCAN_KEYS)
                )
            except Unavailable:
                if len(masters) > 1:  # the others have something to look at meanwhile
                    self._next_master()
                raise
            names = [bytes(key).decode(errors="replace")[len(first) : -len(last)] for key in keys]  # type: ignore[arg-type]
            self._scanned += [UserId(name) for name in names if is_user_id(name)]
            if self._scan_at == 0:
                self._next_master()
                return

    def _next_master(self) -> None:
        self._scanned_masters, self._scan_at = self._scanned_masters + 1, 0

    def _ask_soon(self, question: _Question) -> None:
        self._asked.append(question)
        if len(self._asked) == 1:
            asyncio.get_running_loop().call_soon(self._ask)

    def _ask(self) -> None:
        questions, self._asked = self._asked, []
        task = asyncio.create_task(self._answer(questions))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, questions: Sequence[_Question]) -> None:
        try:
            # Not repeatable: if the first attempt is executed late, it would take a second lease after a
            # change has voided the first.
            calls = [question.call for question in questions]
            found = await self._server.each(self._page, calls, repeatable=False)
        except Exception as error:  # noqa: BLE001 - every error must reach those who wait
            found = [error] * len(questions)
        for question, answer in zip(questions, found, strict=True):
            if question.answer.done():
                continue  # the caller was cancelled
            if isinstance(answer, Exception):
                question.answer.set_exception(answer)
            else:
                question.answer.set_result(answer)

    def _keys(self, user: UserId) -> list[str]:
        return index_keys(self._prefix, user)


def applied(
    prefix: str,
    capacity: int,
    entries: Sequence[Entry],
    jitter: Jitter,
    messages: Iterable[str | bytes] = (),
) -> Call:
    """The call of APPLY that applies changes to the index, and then publishes messages: the name of a channel
    and the message, one after the other.
    """
    keys = [key for change in entries for key in index_keys(prefix, UserId(change[0]))]
    changes = msgspec.msgpack.encode(entries)
    return keys, (capacity, PAGE_BYTES, _time_to_live(jitter), changes, *messages)


def entry(change: FeedChange, items: Sequence[Rendered], macs: Macs) -> Entry:
    """What a change means for the index: which notifications leave an entry and which enter. A change that is
    too much for an entry names none, so that the entry is dropped.

    Text, because MessagePack in Redis' Lua has no binary type.
    """
    feed = change.feed
    gone: Sequence[str] = ()
    match change:
        case Added() | Chosen():  # a choice adds nothing
            new = items
        case Marked(notifications=tuple() as marked) | Edited(notifications=marked):
            gone = [str(item.id) for item in marked]
            new = [body for item, body in zip(marked, items, strict=True) if item.unread]
        case _:
            return _entry(feed, feed.version, macs)
    if sum(map(len, new)) > PAGE_BYTES or not all(map(_fits, new)):
        return _entry(feed, feed.version, macs)
    stamped = [item.decode() for item in map(macs.stamper(feed.user_id, feed.epoch), new)]
    return _entry(feed, change.prev, macs, applicable=True, gone=gone, new=stamped)


def _entry(
    feed: Feed,
    prev: int,
    macs: Macs,
    *,
    applicable: bool = False,
    gone: Sequence[str] = (),
    new: Sequence[str] = (),
) -> Entry:
    return feed.user_id, feed.epoch, prev, *_head(feed, macs), applicable, gone, new


def _head(feed: Feed, macs: Macs) -> tuple[int, int, str, str]:
    """The version, the unread count, the other counts, and the code of all that."""
    others = _encode((feed.unseen_count, feed.unread_in, feed.preferences_version)).decode()
    code = macs.head(feed.user_id, feed.epoch, feed.version, feed.unread_count, others)
    return feed.version, feed.unread_count, others, code


def _fits(item: Rendered) -> bool:
    return len(item) <= ITEM_BYTES


def _newest_first(items: Sequence[Rendered]) -> bool:
    """Whether they come in the order of their ids. Redis sorts them only if all have the same score."""
    return all(map(gt, items, items[1:]))


def _is_before(items: Sequence[Rendered], before: NotificationId | None) -> bool:
    """Whether they begin after `before`, where a page of that notification ended."""
    return before is None or not items or items[0] < b'{"id":"%b"' % str(before).encode()


def _time_to_live(jitter: Jitter) -> int:
    """Jittered, so that entries loaded together do not expire together."""
    return int(_TTL_MS * jitter(0.9, 1.1))
