"""A feed, followed live: the rules of docs/live-stream.md, "What a client does"."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import Self
from urllib.parse import urlencode

from bellwire_client.backoff import Backoff
from bellwire_client.commands import ANSWER_SECONDS, Commands
from bellwire_client.errors import (
    BellwireError,
    ConnectionLost,
    NotConnected,
    StreamRefused,
    Unreachable,
)
from bellwire_client.events import (
    Connected,
    Counts,
    Disconnected,
    Event,
    Json,
    Notifications,
    Replayed,
    Reset,
    Update,
    event_of,
    is_after,
    step_of,
    version_of,
)
from bellwire_client.marks import Marks
from bellwire_client.numbers import whole
from bellwire_client.tokens import Tokens
from bellwire_client.websocket import Open, Socket, ended

logger = logging.getLogger("bellwire_client")

STABLE_SECONDS = 30.0
WELCOME_SECONDS = 10.0
GRACE_SECONDS = 10.0
TOKEN_INVALID = 4511
# Events that the application has not taken yet. With more, reading stops until it has; if the service then
# closes the connection, the stream resumes from its position.
MOST_WAITING = 1_000


class Stream(Marks):
    """Follows a feed: iterate over it for its events, in order, without gaps or duplicates.

    Enter it with `async with`. It connects in the background and reconnects whenever the connection breaks,
    resuming by cursor; the events Connected and Disconnected report both. It ends when it is left, or when
    the service refuses it for good: iteration then raises StreamRefused, or the error of the application's
    token function. One task may iterate; any may mark.
    """

    def __init__(
        self,
        url: str,
        tokens: Tokens,
        *,
        cursor: str | None,
        view: str,
        open_socket: Open,
        random: Callable[[], float],
    ) -> None:
        self.cursor = cursor
        """The position after the newest event that was taken from here: keep it, to resume later."""
        self.counts: Counts | None = None
        """As of that event; None before the first."""
        self._url = url
        self._view = view
        self._tokens = tokens
        self._open = open_socket
        self._random = random
        self._backoff = Backoff(random)
        self._position = cursor
        self._newest: Counts | None = None
        self._renewed = False
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._moved = asyncio.Event()
        self._commands: Commands | None = None
        self._welcomed = asyncio.Event()
        self._failure: BaseException | None = None
        self._left = self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("a stream is entered once; make another one")
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._over)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # --- events ---

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._task is None:
            raise RuntimeError("enter the stream first: async with ….stream(…) as stream")
        event = await self._events.get()
        self._moved.set()
        if event is None:
            self._events.put_nowait(None)  # for the next call
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration
        self._taken(event)
        return event

    def _taken(self, event: Event) -> None:
        match event:
            case Disconnected():
                return
            case Connected() if self.cursor is not None:
                # Its cursor is our own, or a Reset follows: a client that stops in between must receive that
                # again.
                pass
            case _:
                self.cursor = event.cursor
        self.counts = event

    @property
    def unread_count(self) -> int | None:
        """As of the newest event that was taken from here; None before the first."""
        return None if self.counts is None else self.counts.unread_count

    # --- commands ---

    async def send(self, kind: str, arguments: Iterable[Json]) -> int:
        """Send a command with each of these arguments; return how many notifications changed."""
        changed = 0
        for given in arguments:
            changed += await self._ask(await self._connected(), kind, given)
        return changed

    async def _ask(self, commands: Commands, kind: str, arguments: Json) -> int:
        # Wakes the reader if it waits for room: the answer is behind the events that fill it. It checks only
        # after the command is registered, which happens before anything else can run.
        self._moved.set()
        return await commands(kind, arguments)

    async def _connected(self) -> Commands:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._commands is None:
                    if self._ended:
                        raise NotConnected("the stream has ended; nothing was sent") from self._failure
                    await self._welcomed.wait()
        except TimeoutError:
            raise NotConnected(f"no connection within {ANSWER_SECONDS:.0f} s; nothing was sent") from None
        return self._commands

    # --- connecting and reconnecting ---

    async def _run(self) -> None:
        while True:
            await self._room()
            try:
                await self._connect()
            except ConnectionLost as lost:
                # Before Python 3.13 a TaskGroup that ends with an error swallows a cancellation.
                if self._left:
                    return
                await self._pause(lost)

    def _over(self, task: "asyncio.Task[None]") -> None:
        """Wake all waiting callers: nothing will come any more."""
        self._failure = None if task.cancelled() else task.exception()
        self._ended = True
        self._welcomed.set()
        self._events.put_nowait(None)

    async def _connect(self) -> None:
        """Follow the feed on one connection. Raises ConnectionLost if reconnecting makes sense, otherwise
        StreamRefused or the error of the application's token function.
        """
        try:
            headers = {"Authorization": f"Bearer {await self._tokens.fresh()}"}
            async with self._open(self._address(), headers) as socket:
                await self._follow(socket)
        except Unreachable as error:
            raise ConnectionLost(str(error)) from error
        except StreamRefused as refusal:
            if refusal.code != TOKEN_INVALID or self._renewed or not self._tokens.renewable:
                raise
            self._renewed = True
            raise ConnectionLost(refusal.reason, refusal.code) from refusal

    async def _pause(self, lost: ConnectionLost) -> None:
        seconds = self._backoff.next(lost.retry_after)
        logger.info("disconnected (%s); trying again in %.1f s", lost.reason, seconds)
        self._tell(Disconnected(reason=lost.reason, code=lost.code, retry_in=seconds))
        await asyncio.sleep(seconds)

    def _address(self) -> str:
        query = {"view": self._view} | ({"cursor": self._position} if self._position else {})
        return f"{self._url}?{urlencode(query)}"

    # --- one connection ---

    async def _follow(self, socket: Socket) -> None:
        """Receive frames until the connection ends. Raises ConnectionLost, StreamRefused."""
        commands = Commands(socket)
        welcome = await self._welcome(socket)
        began = asyncio.get_running_loop().time()
        self._commands = commands
        self._welcomed.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._renew(commands, welcome.token_expires_in))
                await self._listen(socket, commands, welcome.ping_interval + GRACE_SECONDS)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._welcomed.clear()
            self._commands = None
            commands.close()
            if asyncio.get_running_loop().time() - began >= STABLE_SECONDS:
                self._backoff.reset()

    async def _welcome(self, socket: Socket) -> Connected:
        event = _event(await _receive(socket, WELCOME_SECONDS))
        if not isinstance(event, Connected):
            raise ConnectionLost("the first frame is not a welcome")
        self._renewed = False
        if self._position is None:
            self._position = event.cursor
        self._newest = event
        self._tell(event)
        return event

    async def _listen(self, socket: Socket, commands: Commands, patience: float) -> None:
        while True:
            await self._room(commands)
            frame = await _receive(socket, patience)
            match frame["type"]:
                case "ping":
                    await commands.pong()
                case "ok" | "error":
                    commands.answer(frame)
                case _:
                    self._take(_event(frame) or self._step(frame))

    async def _room(self, commands: Commands | None = None) -> None:
        """Wait until the application has taken enough events, unless an answer is awaited."""
        while self._events.qsize() >= MOST_WAITING and not commands:
            self._moved.clear()
            await self._moved.wait()

    def _step(self, frame: Json) -> Update | None:
        """The change that a frame of a later release makes, if it follows the last one."""
        if self._newest is None or frame.get("prev") != self._position or "cursor" not in frame:
            return None
        return step_of(frame, self._newest)

    def _take(self, event: Event | None) -> None:
        match event:
            case Notifications() | Update():
                if not is_after(event.cursor, self._position or ""):
                    return
                if event.prev != self._position:
                    raise ConnectionLost(f"a gap: {event.prev} does not follow {self._position}")
            case Replayed() | Reset():
                pass
            case _:
                return
        self._position = event.cursor
        self._newest = event
        self._tell(event)

    def _tell(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def _renew(self, commands: Commands, seconds: float) -> None:
        """Replace the token in place well before it expires, each time by one of the same lifetime."""
        if not self._tokens.renewable:
            return
        now = asyncio.get_running_loop().time
        expires = now() + seconds
        while (left := expires - now()) > 1:
            await asyncio.sleep(left * (0.7 + 0.2 * self._random()))
            try:
                await self._ask(commands, "refresh", {"token": await self._tokens.fresh()})
            except BellwireError as error:
                logger.warning("the token was not renewed and will be tried again: %s", error)
            else:
                expires = now() + seconds


async def _receive(socket: Socket, patience: float) -> Json:
    """Return the next frame. Raises ConnectionLost, also after `patience` seconds of silence, and the error
    that a `bye` stands for.
    """
    try:
        async with asyncio.timeout(patience):
            text = await socket.receive()
    except TimeoutError:
        raise ConnectionLost(f"nothing came for {patience:.0f} s") from None
    try:
        frame = json.loads(text, parse_int=whole)
        if frame["type"] != "bye":
            return frame  # type: ignore[no-any-return]
        code, reason, retry_ms = int(frame["code"]), str(frame["reason"]), frame.get("retry_ms") or 0
    except (KeyError, TypeError, ValueError) as error:
        raise ConnectionLost(f"a malformed frame: {error!r}") from None
    raise ended(code, reason, retry_after=retry_ms / 1000)


def _event(frame: Json) -> Event | None:
    """Read a frame's event. Raises ConnectionLost if the frame is malformed."""
    try:
        version_of(frame.get("cursor", ".0"))
        return event_of(frame)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConnectionLost(f"a malformed frame: {error!r}") from None
