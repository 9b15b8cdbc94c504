"""A small world around `application.following`, in which every order of events is tried.

A feed of a few versions; frames that are lost, repeated and out of order; reads of the store that are
answered with what was true at some moment between question and answer, or fail. Only the state machine itself
is not modelled: it is the one that runs. `explore` follows every schedule and checks after each step that

  - what the client is told follows what it was told before and is what happened in the feed;
  - a client at a version holds every notification whose last change is not above it;
  - at most one read is under way, and the gap timer runs exactly while there is a gap;
  - once the stream is closed nothing is done any more, whatever happens.

Once all is quiet, the client must have been told everything that the stream heard of, and everything there
is unless frames were lost without a word. A comparison with the store must then bring what was so lost.
"""

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeAlias

from application import following
from application.feeds import FeedHistory, Standing
from application.following_actions import (
    Drop,
    PassOn,
    ReadPage,
    ReadStanding,
    Replay,
    Replayed,
    Reset,
    StartGapTimer,
    StopGapTimer,
    Welcome,
)
from application.streams import Frame
from domain.feed import Cursor, Feed
from domain.identifiers import UserId

ADA: Final = UserId("ada")
PAGE: Final = 2
"""Notifications on a page."""
PRUNED: Final = -1
"""What a version changes that deletes all notifications and becomes the horizon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens, and what may go wrong how often."""

    asked: Cursor | None = None
    """The cursor that the client resumes from."""
    before: tuple[int, ...] = ()
    """What each version changed before the stream began: a notification, or PRUNED."""
    horizon: int = 0
    commits: tuple[tuple[int, ...], ...] = ((0,), (1,))
    """Which notifications each change of the feed changes; each takes a version."""
    large: bool = False
    """Whether a change may be announced as a bare position: too much for a frame."""
    again: bool = False
    """Whether the last version may be announced once more, as a bare position."""
    restores: int = 0
    """How often the feed begins another epoch, one version back."""
    prunes: int = 0
    """How often what was changed so far falls below the horizon."""
    losses: int = 0
    """How many frames are lost, of which the stream is told later."""
    silent_losses: int = 0
    """How many frames are lost without a word."""
    repeats: int = 0
    failures: int = 0
    """How many reads fail."""
    comparisons: int = 0
    """How often the position is compared with what was read a while ago."""
    old_pages: bool = False
    """Whether a page may be as old as the stream said it may be."""
    early_frames: int = following.EARLY_FRAMES


# --- a state ------------------------------------------------------------------------------------------


class Truth(NamedTuple):
    """The feed, in its present epoch."""

    epoch: str
    log: tuple[int, ...]
    """What each version changed."""
    horizon: int

    @property
    def standing(self) -> Standing:
        return Standing(_feed(self.epoch, len(self.log)), self.horizon)

    def latest(self, upto: int | None = None) -> Mapping[int, int]:
        """The version of each notification, as of a version of the feed."""
        found: dict[int, int] = {}
        for version, item in enumerate(self.log[:upto], 1):
            if item == PRUNED:
                found.clear()
            else:
                found[item] = version
        return found


class Client(NamedTuple):
    """What the client was told: its position, and each notification's version."""

    position: Cursor
    held: tuple[tuple[int, int], ...]


class Reading(NamedTuple):
    """A read that is under way: what is wanted, and what the store answered, if it did."""

    wanted: ReadStanding | ReadPage
    answer: Standing | FeedHistory | None = None


class World(NamedTuple):
    machine: tuple[Any, ...]
    """The fields of the state machine."""
    truth: Truth
    ended: Truth | None
    """The feed's epoch before, in which frames may still be on their way."""
    commits: tuple[tuple[int, ...], ...]
    frames: tuple[Frame, ...]
    """On their way; any may be the next. Sorted: in which order they were sent makes no difference."""
    # what the session is doing
    reading: Reading | None
    sending: FeedHistory | None
    timer: bool
    client: Client | None
    # for the checks
    heard: Cursor
    """The newest position that the stream was told of."""
    owed: bool
    """Whether the stream has still to be told that frames were lost."""
    unsure: bool
    """Whether something may be missing that nobody knows of, until positions are compared."""
    seen: Standing | None
    """What the position is about to be compared with."""
    # what may still happen
    restores: int
    prunes: int
    losses: int
    silent_losses: int
    repeats: int
    failures: int
    comparisons: int


Step: TypeAlias = tuple[str, World]


class Wrong(Exception):
    """The stream did what it must not do."""


class Item(NamedTuple):
    """A notification, as far as it matters here."""

    number: int
    version: int
    created_at: datetime = datetime(2026, 3, 14, tzinfo=UTC)


class Sent(Frame):
    """A frame that is equal to itself only, which is quick to find out. `_frame` makes each once."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


@cache
def _frame(epoch: str, prev: int, version: int) -> Frame:
    return Sent(ADA, epoch, prev, version, "" if prev == version else "{}")


@cache
def _feed(epoch: str, version: int) -> Feed:
    return Feed(ADA, epoch, version, 0)


@cache
def _page(truth: Truth, after: int) -> FeedHistory:
    """What changed after a version."""
    latest = truth.latest().items()
    found = sorted((Item(item, version) for item, version in latest if version > after), key=_version)
    items: Any = tuple(found[:PAGE])
    return FeedHistory(truth.standing.feed, items, len(found) > PAGE, truth.horizon)


def _version(item: Item) -> int:
    return item.version


# --- the machine as a value -----------------------------------------------------------------------------


class Machine:
    """The state machine of a module, which may be one with a mistake in it."""

    def __init__(self, scenario: Scenario, module: Any) -> None:
        module.EARLY_FRAMES = scenario.early_frames
        self._class = module.Following
        self._early = module.EarlyFrames
        self._names = [name for name in self._class.__slots__ if name != "_early"]
        self.start = self.frozen(self._class(scenario.asked, auto=False, now=_never))

    def frozen(self, machine: Any) -> tuple[Any, ...]:
        """Its fields."""
        early = machine._early
        kept = None if early is None else tuple(sorted(early._frames.items()))
        return kept, *[getattr(machine, name) for name in self._names]

    def thawed(self, fields: tuple[Any, ...]) -> Any:
        """One that has these fields."""
        machine = object.__new__(self._class)
        machine._early = None
        if fields[0] is not None:
            machine._early = self._early()
            machine._early._frames = dict(fields[0])
        for name, value in zip(self._names, fields[1:], strict=True):
            setattr(machine, name, value)
        return machine


def _never() -> float:
    return 0.0


# --- what the session does with an action ---------------------------------------------------------------


def _do(world: World, action: Any) -> World:
    match action:
        case StartGapTimer():
            _check(not world.timer, "the gap timer is started a second time")
            return world._replace(timer=True)
        case StopGapTimer():
            return world._replace(timer=False)
        case ReadStanding() | ReadPage():
            _check(world.reading is None and world.sending is None, "two reads at a time")
            return world._replace(reading=Reading(action))
        case Drop():
            return world
        case _:
            return _tell_client(world, action)


def _tell_client(world: World, action: Any) -> World:
    client = world.client
    if isinstance(action, Welcome):
        _check(client is None, "a second welcome")
        _check(action.position.version <= action.feed.version, f"{action}, where the feed never was")
        return world._replace(client=_loaded(world, action.position))
    if client is None:
        raise Wrong(f"{action} before the welcome")
    match action:
        case Frame():
            return _tell_frame(world, client, action)
        case Reset(feed, reason):
            if client.position != feed.cursor:
                _check((reason == "epoch") is (client.position.epoch != feed.epoch), f"{action}: {client}")
            return world._replace(client=_loaded(world, feed.cursor))
        case Replay(page, prev):
            _check(client.position == Cursor(page.feed.epoch, prev), f"{action}: {client}")
            return world._replace(sending=page)
        case Replayed(feed):
            right = tuple(sorted(_epoch(world, feed.epoch).latest(feed.version).items()))
            _check(client == Client(feed.cursor, right), f"{action}: {client} does not hold {right}")
            return world
        case _:
            raise Wrong(f"{action}, which is not to be expected")


def _tell_frame(world: World, client: Client, frame: Frame) -> World:
    _check(bool(frame.text), "a bare position is sent")
    _check(world.reading is None and world.sending is None, "a frame is sent in the middle of a replay")
    _check(client.position == Cursor(frame.epoch, frame.prev), f"{frame} is sent to {client}")
    truth = _epoch(world, frame.epoch)
    changed = {truth.log[version - 1]: version for version in range(frame.prev + 1, frame.version + 1)}
    return world._replace(client=_with(client, Cursor(frame.epoch, frame.version), changed))


def _loaded(world: World, position: Cursor) -> Client:
    """A client that has loaded the feed over HTTP, at this position."""
    held = _epoch(world, position.epoch).latest(position.version)
    return Client(position, tuple(sorted(held.items())))


def _with(client: Client, position: Cursor, changed: dict[int, int]) -> Client:
    return Client(position, tuple(sorted((dict(client.held) | changed).items())))


def _epoch(world: World, epoch: str) -> Truth:
    """The feed in the epoch that it is in, or was in before."""
    if world.ended is not None and world.ended.epoch == epoch:
        return world.ended
    _check(world.truth.epoch == epoch, f"nobody ever heard of epoch {epoch}")
    return world.truth


def _check(right: bool, otherwise: str) -> None:
    if not right:
        raise Wrong(otherwise)


# --- what can happen ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Explorer:
    scenario: Scenario
    machine: Machine

    def steps(self, world: World) -> Iterator[Step]:
        """All that can happen next, and the world after it."""
        yield from self._feed_steps(world)
        yield from self._frame_steps(world)
        yield from self._store_steps(world)
        yield from self._session_steps(world)

    def _tell(self, world: World, event: str, *about: Any) -> World:
        """The world after the state machine was told of something, and what it asked for was done."""
        machine = self.machine.thawed(world.machine)
        actions = getattr(machine, event)(*about)
        if PassOn() in actions:
            assert event == "take"
            actions = about
        world = world._replace(machine=self.machine.frozen(machine))
        for action in actions:
            world = _do(world, action)
        _check_state(world, machine)
        return world

    # --- the feed ---

    def _feed_steps(self, world: World) -> Iterator[Step]:
        truth = world.truth
        if world.commits:
            log = truth.log + world.commits[0]
            after = world._replace(truth=truth._replace(log=log), commits=world.commits[1:])
            frame = _frame(truth.epoch, len(truth.log), len(log))
            yield f"the feed changes: {frame.prev} to {frame.version}", _sent(after, frame)
            if self.scenario.large:
                yield "the feed changes a lot", _sent(after, _bare(after))
        if world.restores:
            log = truth.log[:-1]
            ended, began = truth, Truth("e2", log, min(truth.horizon, len(log)))
            after = world._replace(truth=began, ended=ended, restores=world.restores - 1, unsure=True)
            yield "the feed begins another epoch", after
        if world.prunes:
            log = (*truth.log, PRUNED)
            pruned = world._replace(truth=Truth(truth.epoch, log, len(log)), prunes=world.prunes - 1)
            yield "the feed is pruned", _sent(pruned, _bare(pruned))
        if self.scenario.again and _bare(world) not in world.frames and world.heard.version < len(truth.log):
            yield "the position is announced", _sent(world, _bare(world))

    # --- what carries frames ---

    def _frame_steps(self, world: World) -> Iterator[Step]:
        for number, frame in enumerate(world.frames):
            if number and world.frames[number - 1] is frame:
                continue
            rest = world._replace(frames=world.frames[:number] + world.frames[number + 1 :])
            what = f"{frame.epoch}.{frame.prev} to {frame.version}"
            yield f"a frame comes: {what}", self._take(rest, frame)
            if world.repeats:
                repeated = world._replace(repeats=world.repeats - 1)
                yield f"a frame comes, and will again: {what}", self._take(repeated, frame)
            if world.losses:
                yield f"a frame is lost: {what}", rest._replace(losses=world.losses - 1, owed=True)
            if world.silent_losses:
                unsure = rest._replace(silent_losses=world.silent_losses - 1, unsure=True)
                yield f"a frame is lost without a word: {what}", unsure
        if world.owed:
            told = _heard(world._replace(owed=False), world.truth.standing.feed.cursor)
            yield "the stream is told of losses", self._tell(told, "miss")

    def _take(self, world: World, frame: Frame) -> World:
        told = world.client.position if world.client is not None else Cursor("", 0)
        if told.epoch == frame.epoch and frame.version <= told.version:
            done = tuple(self.machine.thawed(world.machine).take(frame))
            _check(done == ((Drop(),) if frame.text else ()), f"{frame} was told already: {done}")
        return self._tell(_heard(world, Cursor(frame.epoch, frame.version)), "take", frame)

    # --- the store ---

    def _store_steps(self, world: World) -> Iterator[Step]:
        reading = world.reading
        if reading is None:
            return
        if reading.answer is None:
            for answer in self._answers(world, reading.wanted):
                yield f"the store answers {answer}", world._replace(reading=Reading(reading.wanted, answer))
        else:
            read = world._replace(reading=None)
            event = "standing_read" if isinstance(reading.answer, Standing) else "page_read"
            yield event, self._tell(read, event, reading.answer)
        if world.failures and world.client is not None:
            failed = world._replace(reading=None, failures=world.failures - 1)
            yield "the read fails", self._tell(failed, "read_failed", "it is away")

    def _answers(self, world: World, wanted: ReadStanding | ReadPage) -> Iterator[Any]:
        truth = world.truth
        if isinstance(wanted, ReadStanding):
            yield truth.standing
            return
        yield _page(truth, wanted.after)
        oldest = wanted.at_least.version
        if self.scenario.old_pages and truth.epoch == wanted.at_least.epoch and oldest < len(truth.log):
            horizon = truth.horizon if truth.horizon <= oldest else self.scenario.horizon
            yield _page(Truth(truth.epoch, truth.log[:oldest], horizon), wanted.after)

    # --- the session ---

    def _session_steps(self, world: World) -> Iterator[Step]:
        if world.timer:
            yield "the gap timer runs out", self._tell(world._replace(timer=False), "gap_stayed")
        page, client = world.sending, world.client
        if page is not None and client is not None:
            end = page.notifications[-1].version if page.more else page.feed.version
            items: Any = page.notifications
            told = _with(client, Cursor(page.feed.epoch, end), {item.number: item.version for item in items})
            sent = world._replace(sending=None, client=told)
            yield "the page is sent", self._tell(sent, "page_sent", page)
        if world.seen is not None:
            compared = world._replace(seen=None)
            if world.reading is None and world.sending is None:  # otherwise the next comparison finds it
                compared = _heard(compared, world.seen.feed.cursor)
            yield f"the position is compared with {world.seen}", self._tell(compared, "compare", world.seen)
        elif world.client is not None and (world.comparisons or (world.unsure and quiet(world))):
            seen = world._replace(seen=world.truth.standing, comparisons=max(0, world.comparisons - 1))
            yield "the position is to be compared", seen._replace(unsure=world.unsure and not quiet(world))


def _bare(world: World) -> Frame:
    version = len(world.truth.log)
    return _frame(world.truth.epoch, version, version)


def _sent(world: World, frame: Frame) -> World:
    return world._replace(frames=tuple(sorted((*world.frames, frame), key=_order)))


def _order(frame: Frame) -> tuple[str, int, int]:
    return frame.epoch, frame.version, frame.prev


def _heard(world: World, position: Cursor) -> World:
    newest = max((world.heard.epoch, world.heard.version), (position.epoch, position.version))
    return world._replace(heard=Cursor(*newest))


# --- what must hold -------------------------------------------------------------------------------------


def _check_state(world: World, machine: Any) -> None:
    state, kept = machine.state.value, machine._early
    busy = world.reading is not None or world.sending is not None
    _check(busy is (state in {"opening", "catching up"}), f"{state}, and reading: {busy}")
    _check(world.timer is (state == "gap"), f"{state}, and the gap timer runs: {world.timer}")
    _check(state != "live" or kept is None, "frames are kept while live")
    _check(state != "gap" or bool(kept), "a gap before nothing")
    if state == "gap":
        old = [frame for frame in kept._frames.values() if frame.version <= machine.position.version]
        _check(not old, f"frames are kept that were told: {old}")
    client, truth = world.client, world.truth
    if client is None or client.position.epoch != truth.epoch:
        return
    position, held, latest = client.position.version, dict(client.held), truth.latest()
    for item, version in latest.items():
        _check(version > position or held.get(item) == version, f"{client} has missed {item} at {version}")
    _check(position < truth.horizon or held.keys() <= latest.keys(), f"{client} holds what is deleted")


def quiet(world: World) -> bool:
    """Whether nothing happens any more that was bound to happen."""
    return not (
        world.commits or world.frames or world.owed or world.timer or world.reading or world.sending
    ) and (world.seen is None)


def _check_quiet(world: World) -> None:
    assert world.client is not None
    position, truth = world.client.position, world.truth
    told, heard = (position.epoch, position.version), (world.heard.epoch, world.heard.version)
    _check(told >= heard, f"all is quiet, and the client is at {position} of {world.heard}")
    if not world.unsure:
        _check(told == (truth.epoch, len(truth.log)), f"all is quiet, and {position} is not {truth}")


def _check_closed(explorer: _Explorer, world: World) -> None:
    """Close it, and have everything happen that could."""
    machine = explorer.machine.thawed(world.machine)
    machine.close()
    page, bare, truth = _page(world.truth, 0), _bare(world), world.truth
    following_one = _frame(machine.position.epoch, machine.position.version, machine.position.version + 1)
    done = [
        *machine.take(following_one),
        *machine.take(bare),
        *machine.miss(),
        *machine.gap_stayed(),
        *machine.standing_read(truth.standing),
        *machine.page_read(page),
        *machine.page_sent(page),
        *machine.read_failed("it is away"),
        *machine.compare(truth.standing),
        *machine.close(),
    ]
    _check(not done, f"it is closed, and does {done}")


# --- the explorer ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Explored:
    """What came of an exploration: it ends at the first violation."""

    worlds: int
    quiet: int
    violation: str | None = None
    schedule: tuple[str, ...] = ()


def explore(scenario: Scenario, module: Any = following, *, closes: bool = True) -> Explored:
    """Try every schedule; with `closes` the stream may also be closed at any moment."""
    kept = module.EARLY_FRAMES
    try:
        return _explore(_Explorer(scenario, Machine(scenario, module)), closes=closes)
    finally:
        module.EARLY_FRAMES = kept


def _explore(explorer: _Explorer, *, closes: bool) -> Explored:
    start = _start(explorer)
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    waiting = deque([start])  # breadth first, so that a violation comes with a shortest schedule
    quiet_ones = 0
    world = start
    try:
        while waiting:
            world = waiting.popleft()
            if closes:
                _check_closed(explorer, world)
            if quiet(world):
                quiet_ones += 1
                _check_quiet(world)
            for label, after in explorer.steps(world):
                if after not in came_from:
                    came_from[after] = world, label
                    waiting.append(after)
    except (Wrong, AttributeError, IndexError) as error:
        return Explored(len(came_from), quiet_ones, repr(error), _schedule(came_from, world))
    return Explored(len(came_from), quiet_ones)


def _start(explorer: _Explorer) -> World:
    scenario = explorer.scenario
    return World(
        machine=explorer.machine.start,
        truth=Truth("e1", scenario.before, scenario.horizon),
        ended=None,
        commits=scenario.commits,
        frames=(),
        reading=Reading(ReadStanding()),
        sending=None,
        timer=False,
        client=None,
        heard=Cursor("e1", 0),
        owed=False,
        unsure=False,
        seen=None,
        restores=scenario.restores,
        prunes=scenario.prunes,
        losses=scenario.losses,
        silent_losses=scenario.silent_losses,
        repeats=scenario.repeats,
        failures=scenario.failures,
        comparisons=scenario.comparisons,
    )


def _schedule(came_from: Mapping[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    labels: list[str] = []
    while (step := came_from[world]) is not None:
        world, label = step
        labels.append(label)
    return tuple(reversed(labels))


def planted(old: str, new: str) -> ModuleType:
    """The state machine with a mistake: one piece of its text is another."""
    path = Path(following.__file__)
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{text.count(old)} times in {path}: {old}"
    name = f"{following.__name__}_planted"
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(text.replace(old, new), path, "exec"), module.__dict__)
    return module
