"""RedisUnreadIndex: the newest unread notifications of recent feeds, in one round trip."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import sha1
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import NoScriptError

from adapters.redis import scripts
from adapters.redis.server import RedisServer
from application.errors import Unavailable
from application.pages import IndexEntry, Missing, Rendered, RenderedPage
from application.ports import Jitter, NewToken
from common import metrics
from domain.feed import Added, Feed, FeedChange, Marked
from domain.identifiers import NotificationId, UserId

# Longer than a PostgreSQL statement may take: the rows loaded were read while the lease was valid.
_LEASE_MS = 15_000
# How long an entry lives that a crash between commit and announcement left stale.
_TTL_MS = 10 * 60 * 1000

# How many keys one SCAN examines, and how many steps one sample may take.
_SCAN_KEYS = 500
_SCAN_STEPS = 20

# user, epoch, prev, version, unread count, applicable, ids to remove, items to add
Entry = tuple[str, str, int, int, int, bool, Sequence[str], Sequence[str]]


class _Held(msgspec.Struct):
    """The fields that are read from a notification's JSON."""

    id: NotificationId
    version: int


_read = msgspec.json.Decoder(_Held).decode


class _Question(NamedTuple):
    arguments: tuple[str | int, ...]
    answer: "asyncio.Future[Any]"


class RedisUnreadIndex:
    """The unread index in Redis. See scripts.py for its protocol.

    Pages that are requested at the same time are read together: a command costs the client more than the
    script costs Redis.
    """

    def __init__(
        self, server: RedisServer, prefix: str, capacity: int, jitter: Jitter, new_token: NewToken
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._jitter = jitter
        self._new_token = new_token
        self.capacity = capacity
        self._page_sha = sha1(scripts.PAGE.encode(), usedforsecurity=False).hexdigest()
        self._load = server.client.register_script(scripts.LOAD)
        self._asked: list[_Question] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._scanned: deque[UserId] = deque()
        self._scan_at = 0

    async def page(self, user: UserId, limit: int, before: NotificationId | None) -> RenderedPage | Missing:
        lease = self._new_token(8)
        highest = "+" if before is None else f'({{"id":"{before}"'
        question = _Question(
            (*self._keys(user), limit, highest, lease, _LEASE_MS), asyncio.get_running_loop().create_future()
        )
        self._ask_soon(question)
        try:
            found = await question.answer
        except Unavailable:
            metrics.INDEX.labels("away").inc()
            return Missing(None)
        if not found[0]:
            metrics.INDEX.labels("miss").inc()
            return Missing(lease if found[1] else None)
        metrics.INDEX.labels("hit").inc()
        feed = Feed(user, found[1].decode(), int(found[2]), int(found[3]))
        items = found[4:]
        return RenderedPage(feed, items[:limit], more=len(items) > limit)

    async def load(self, page: RenderedPage, lease: str) -> None:
        feed = page.feed
        state: list[str | int] = [
            lease,
            feed.epoch,
            feed.version,
            feed.unread_count,
            0 if page.more else 1,
            _time_to_live(self._jitter),
        ]
        try:
            await self._server.ask(
                lambda: self._load(keys=self._keys(feed.user_id), args=[*state, *page.items])
            )
        except Unavailable:
            metrics.INDEX.labels("away").inc()

    async def sample(self, count: int) -> Sequence[UserId]:
        try:
            await self._scan(count)
        except Unavailable:
            metrics.INDEX.labels("away").inc()
        return [self._scanned.popleft() for _ in range(min(count, len(self._scanned)))]

    async def entry(self, user: UserId) -> IndexEntry | None:
        try:
            state, items = await self._server.ask(lambda: self._entry(user))
        except Unavailable:
            metrics.INDEX.labels("away").inc()
            return None
        if state[0] is None:
            return None
        epoch, version, count, complete = state[0].decode(), int(state[1]), int(state[2]), state[3] == b"1"
        if complete and len(items) != count:  # Redis evicted a part of it, so it counts as missing
            return None
        try:
            held = tuple((item.id, item.version) for item in map(_read, items))
        except msgspec.MsgspecError:  # not written by us: it holds nothing that it should
            held = ()
        return IndexEntry(Feed(user, epoch, version, count), held, complete)

    async def forget(self, user: UserId) -> None:
        feed, unread, _ = self._keys(user)
        try:
            await self._server.ask(lambda: self._server.client.delete(feed, unread))
        except Unavailable:
            metrics.INDEX.labels("away").inc()

    async def erase(self, user: UserId) -> None:
        # With the lease, so that nothing that was read before is loaded after it.
        await self._server.ask(lambda: self._server.client.delete(*self._keys(user)))

    async def _entry(self, user: UserId) -> list[Any]:
        feed, unread, _ = self._keys(user)
        async with self._server.client.pipeline(transaction=True) as pipeline:
            pipeline.execute_command("HMGET", feed, "e", "v", "n", "c")
            pipeline.execute_command("ZRANGE", unread, "+", "-", "BYLEX", "REV")
            return await pipeline.execute()

    async def _scan(self, count: int) -> None:
        """Continue the scan where the last sample ended, at most to its end."""
        first = f"{self._prefix}:feed:"
        for _ in range(_SCAN_STEPS):
            if len(self._scanned) >= count:
                return
            self._scan_at, keys = await self._server.ask(
                lambda: self._server.client.scan(self._scan_at, match=f"{first}*", count=_SCAN_KEYS)
            )
            self._scanned += [UserId(bytes(key).decode().removeprefix(first)) for key in keys]  # type: ignore[arg-type]
            if self._scan_at == 0:
                return

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
            answers = await self._server.ask(lambda: self._evaluate(questions), repeatable=False)
        except Exception as error:  # noqa: BLE001 - every error must reach those who wait
            answers = [error] * len(questions)
        for question, answer in zip(questions, answers, strict=True):
            if question.answer.done():
                continue  # the caller was cancelled
            if isinstance(answer, Exception):
                question.answer.set_exception(answer)
            else:
                question.answer.set_result(answer)

    async def _evaluate(self, questions: Sequence[_Question]) -> list[Any]:
        try:
            return await self._evaluate_known(questions)
        except NoScriptError:  # Redis was restarted or its scripts were flushed
            await self._server.client.script_load(scripts.PAGE)
            return await self._evaluate_known(questions)

    async def _evaluate_known(self, questions: Sequence[_Question]) -> list[Any]:
        async with self._server.client.pipeline(transaction=False) as pipeline:
            for question in questions:
                pipeline.execute_command("EVALSHA", self._page_sha, 3, *question.arguments)
            return await pipeline.execute()

    def _keys(self, user: UserId) -> list[str]:
        return [f"{self._prefix}:{kind}:{user}" for kind in ("feed", "unread", "lease")]


def application(
    prefix: str, capacity: int, entries: Iterable[Entry], jitter: Jitter
) -> list[str | int | bytes]:
    """The EVAL arguments that apply changes to the index."""
    changes = msgspec.msgpack.encode(list(entries))
    return [scripts.APPLY, 0, prefix, capacity, _time_to_live(jitter), changes]


def entry(change: FeedChange, items: Sequence[Rendered]) -> Entry:
    """What a change means for the index: which notifications leave an entry and which enter.

    Text, because MessagePack in Redis' Lua has no binary type.
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


def _time_to_live(jitter: Jitter) -> int:
    """Jittered, so that entries loaded together do not expire together."""
    return int(_TTL_MS * jitter(0.9, 1.1))
