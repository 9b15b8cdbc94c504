"""A client of the live stream that follows docs/live-stream.md, and what it received."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from domain.states import STATES
from workbench.soak.contents import revision_of
from workbench.soak.tally import Tally, contradictions, implied, is_unread
from workbench.soak.waiting import eventually

Json = dict[str, Any]

_DEAD_SECONDS = 35.0
_OPEN_SECONDS = 10.0
_ANSWER_SECONDS = 10.0
_PAUSE_SECONDS = (0.1, 2.0)
_KEPT = ("user_id", "version", "category", "message", "action", "count", "actions", *STATES)


@dataclass
class Follower:
    """Resumes by cursor while it is entered, and checks that frames leave no gap."""

    urls: Sequence[str]
    """The API processes, which it uses in turn as behind a load balancer."""
    user: str
    token: Callable[[str], str]
    query: str = ""
    cursor: str | None = None
    unread_count: int = 0
    frames: MutableSequence[Json] = field(default_factory=list)
    created: dict[str, int] = field(default_factory=dict)
    """The ids of new notifications, with the version of the first frame."""
    items: dict[str, Json] = field(default_factory=dict)
    """The state of each notification as the client knows it."""
    holes: list[str] = field(default_factory=list)
    """Frames that did not follow the previous one."""
    foreign: list[str] = field(default_factory=list)
    """Items of other users."""
    revived: set[str] = field(default_factory=set)
    """The ids that became unread after they were read."""
    resets: list[str] = field(default_factory=list)
    turned_back: list[str] = field(default_factory=list)
    """What changed back and never may: revisions, and what was retracted; and frames of new or changed
    notifications that were not."""
    unseen: set[str] = field(default_factory=set)
    """The ids that became unseen after they were seen."""
    woken: Counter[str] = field(default_factory=Counter)
    """How many times each id came back after it was snoozed."""
    miscounted: list[str] = field(default_factory=list)
    """Counts in frames that differ from what the client has."""
    counted: int = 0
    """How many times counts were compared: in frames, pages and answers."""
    stored_at: dict[str, int] = field(default_factory=dict)
    """The versions with which notifications were stored, as far as frames told."""
    preferences: dict[str, bool | None] = field(default_factory=dict)
    """What frames told of the user's choices."""
    preferences_version: int = 0
    missed_choices: bool = False
    """Whether a catch-up passed over choices."""
    _tally: Tally = field(default_factory=Tally)
    _replaying: bool = False
    """Whether a catch-up is under way: until it ends, the items are newer than the cursor."""
    connections: int = 0
    _socket: ClientConnection | None = None
    _task: "asyncio.Task[None] | None" = None
    _refs: "itertools.count[int]" = field(default_factory=itertools.count)
    _answers: "dict[str, asyncio.Future[Json]]" = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        await eventually(lambda: self.cursor is not None, f"{self.user} is welcomed")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            outcome = (await asyncio.gather(self._task, return_exceptions=True))[0]
            if isinstance(outcome, Exception):
                raise outcome

    async def send(self, **frame: Any) -> None:
        """Send a frame. Raises ConnectionError, websockets' ConnectionClosed."""
        if self._socket is None:
            raise ConnectionError(f"{self.user} is not connected")
        await self._socket.send(json.dumps(frame))

    async def ask(self, **frame: Any) -> Json:
        """Send a command and return its answer. Raises TimeoutError too."""
        ref = f"{self.user}-{next(self._refs)}"
        self._answers[ref] = asyncio.get_running_loop().create_future()
        try:
            await self.send(**frame, ref=ref)
            return await asyncio.wait_for(self._answers[ref], _ANSWER_SECONDS)
        finally:
            del self._answers[ref]

    async def seen(self, condition: Callable[[Json], bool], what: str) -> Json:
        """Wait for a frame, or find one that came before."""
        await eventually(lambda: any(map(condition, self.frames)), f"{self.user} sees {what}")
        return next(filter(condition, self.frames))

    def disagreement(self, told: Json) -> str:
        """How counts from elsewhere differ from what the client has, if they are for its position."""
        if self._replaying or told["cursor"] != self.cursor:
            return ""
        self.counted += 1
        return self._tally.difference(told)

    async def _run(self) -> None:
        pause, longest = _PAUSE_SECONDS
        while True:
            before = self.connections
            try:
                await self._connect_once()
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                pause = _PAUSE_SECONDS[0] if self.connections > before else min(pause * 2, longest)
            self._socket = None
            await asyncio.sleep(pause)

    async def _connect_once(self) -> None:
        query = "&".join(filter(None, [self.query, f"cursor={self.cursor}" if self.cursor else ""]))
        base = self.urls[self.connections % len(self.urls)].replace("http", "ws", 1)
        headers = {"Authorization": f"Bearer {self.token(self.user)}"}
        url = f"{base}/ws/{self.user}?{query}"
        async with connect(
            url,
            additional_headers=headers,
            open_timeout=_OPEN_SECONDS,
            ping_interval=None,
            close_timeout=1,
            compression=None,
            max_size=None,  # 200 notifications of a replay come in one frame
        ) as self._socket:
            self.connections += 1
            while True:
                # In Python 3.11 wait_for loses a cancellation that arrives together with the result.
                async with asyncio.timeout(_DEAD_SECONDS):
                    text = await self._socket.recv()
                frame = msgspec.json.decode(text)
                if frame["type"] == "ping":
                    with suppress(ConnectionClosed):  # what came before the close is still to be read
                        await self.send(type="pong")
                self.take(frame)

    # --- what a frame means ---

    def take(self, frame: Json) -> None:
        """Apply a frame, and note what is wrong with it."""
        self.frames.append(frame)
        self.unread_count = frame.get("unread_count", self.unread_count)
        match frame["type"]:
            case "welcome":
                self.cursor = frame["cursor"]
            case "reset":
                self.resets.append(f"{frame['reason']}: {self.cursor} became {frame['cursor']}")
                self.cursor = frame["cursor"]
            case "replayed":
                self._caught_up(frame)
            case "notifications":
                self._replaying = bool(frame.get("replay"))
                self._follow(frame, [item["version"] for item in frame["items"]])
                for item in frame["items"]:
                    self._upsert(item, frame)
            case "update":
                self._update(frame)
            case "ok" | "error":
                self._answer(frame)
        self._compare(frame)

    def _answer(self, frame: Json) -> None:
        asked = self._answers.get(frame["ref"])
        if asked is not None and not asked.done():  # one that was given up is cancelled first, then removed
            asked.set_result(frame)

    def _follow(self, frame: Json, versions: Sequence[int]) -> None:
        start, end = version(frame["prev"]), version(frame["cursor"])
        whole = range(start + 1, end + 1)
        if frame["prev"] != self.cursor:
            self.holes.append(f"{frame['prev']} does not follow {self.cursor}")
        elif frame.get("replay"):
            if list(versions) != sorted(set(versions) & set(whole)):
                self.holes.append(f"a replay from {start} to {end} has versions {versions}")
        elif list(versions) != list(whole):
            self.holes.append(f"a frame from {start} to {end} has versions {versions}")
        self.cursor = frame["cursor"]

    def _caught_up(self, frame: Json) -> None:
        """A catch-up may end with choices, which a replay does not repeat."""
        self._replaying = False
        told = frame.get("preferences_version", 0)
        if frame["cursor"] != self.cursor and told != version(frame["cursor"]):
            self.holes.append(f"a replay up to {self.cursor} ended at {frame['cursor']}")
        self.cursor = frame["cursor"]
        if told != self.preferences_version:
            self.missed_choices = True
            self.preferences_version = told

    def _compare(self, frame: Json) -> None:
        """Compare counts with what the client has. Those of a replay are true after it."""
        if "unread_in" not in frame:
            return
        if wrong := contradictions(frame):
            self.miscounted.append(f"{self.user} at {frame['cursor']}: {wrong}")
        if frame["type"] in {"notifications", "update", "replayed"} and not frame.get("replay"):
            self.counted += 1
            if wrong := self._tally.difference(frame):
                self.miscounted.append(f"{self.user} at {frame['cursor']}: {wrong}")

    def _update(self, frame: Json) -> None:
        start, end = version(frame["prev"]), version(frame["cursor"])
        if "preferences" in frame:
            self._follow(frame, range(start + 1, start + 2))
            self.preferences |= frame["preferences"]
            self.preferences_version = end
            return
        changes = {**frame["set"], **({"action": frame["action"]} if "action" in frame else {})}
        if "ids" in frame:
            self._follow(frame, range(start + 1, start + 1 + len(frame["ids"])))
            for nth, identifier in enumerate(frame["ids"]):
                if identifier in self.items:
                    self._set(identifier, implied(self.items[identifier], changes), start + 1 + nth)
            return
        self._follow(frame, range(start + 1, end + 1))
        ((name, value),) = frame["set"].items()
        highest = version(frame["up_to"])
        for identifier, item in self.items.items():
            if item["version"] <= highest and _applies(item, name, value):
                self._set(identifier, implied(item, changes), end)

    def _upsert(self, item: Json, frame: Json) -> None:
        identifier = item["id"]
        if item["user_id"] != self.user:
            self.foreign.append(f"{self.user} was sent {identifier} of {item['user_id']}")
        known = identifier in self.items
        if not frame.get("replay"):
            if known != bool(frame.get("changed")):
                self.turned_back.append(f"{identifier} was {'known and new' if known else 'changed and new'}")
            if not known:
                self.stored_at[identifier] = item["version"]
        self.created.setdefault(identifier, item["version"])
        self.items.setdefault(identifier, {})
        self._set(identifier, {name: item.get(name) for name in _KEPT}, item["version"])

    def _set(self, identifier: str, changes: Json, to_version: int) -> None:
        before = self.items[identifier]
        after = {**before, **changes, "version": to_version}
        if before:
            self._compare_states(identifier, before, after)
        self._tally.add(before, -1)
        self._tally.add(after, 1)
        self.items[identifier] = after

    def _compare_states(self, identifier: str, before: Json, after: Json) -> None:
        if before["read_at"] is not None and after["read_at"] is None:
            self.revived.add(identifier)
        if before["seen_at"] is not None and after["seen_at"] is None:
            self.unseen.add(identifier)
        if before["woken_at"] != after["woken_at"]:
            self.woken[identifier] += 1
        if before["retracted_at"] is not None and after["retracted_at"] is None:
            self.turned_back.append(f"{identifier} was retracted and is back")
        if _revision(after) < _revision(before):
            self.turned_back.append(f"{identifier} was {before['message']!r}, became {after['message']!r}")


def _applies(item: Json, name: str, value: str | None) -> bool:
    """Whether a mark of all can change this one."""
    if name == "seen_at" and not is_unread(item):
        return False
    return (item[name] is None) != (value is None) and item["retracted_at"] is None


def _revision(item: Json) -> int:
    return revision_of(item["message"] or "")[1]


def version(cursor: str) -> int:
    """The version in a cursor."""
    return int(cursor.rpartition(".")[2])
