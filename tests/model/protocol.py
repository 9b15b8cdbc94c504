"""The protocol between the feeds and the unread index, small enough to try every schedule of it.

One user, whose notifications are the bits of a number, the newest one the highest. Each function below is one
atomic step: a transaction of PostgreSQL, or a script in Redis (the rules of src/adapters/redis/scripts.py,
again in Python). `explore` tries every order of the steps of every actor, with crashes, flushes, expired
leases and lost announcements wherever they fit, and checks in every state that

  - the entry is exactly what PostgreSQL had at the version that the entry claims, so that every page ever
    served is true for the version it carries;
  - the entry is no older than any announcement that arrived, so that a change, once announced, is in every
    page from then on;
  - in the end the entry is missing or is what PostgreSQL has.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

# --- what is explored ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The rules. Each that is taken away must show as a violation."""

    checks_versions: bool = True
    """A change is applied only by an entry that holds the version before it."""
    drops_on_gap: bool = True
    """An entry that missed something is dropped; otherwise it waits, as it is, for the change it missed."""
    needs_entry: bool = True
    """A change is applied only to an entry; otherwise it begins one."""
    leases: bool = True
    """A rebuild is loaded only if its lease still stands."""
    voids_leases: bool = True
    """Every announcement voids the lease."""
    random_leases: bool = True
    """Leases are never the same; otherwise they are counted in Redis, from 1 again after a flush."""
    settles_redelivered: bool = True
    """A redelivered batch announces where the feeds stand whose drafts were there already."""
    settles_marked: bool = True
    """A mark that changed nothing announces where the feed stands."""
    remembers_untold: bool = True
    """What Redis could not be told is told later."""
    knows_window: bool = True
    """An entry that leaves older notifications out does not take in what may belong among those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Who does what, and what may go wrong how often."""

    records: tuple[int, ...] = ()
    """The notifications in the topic. The consumer stores them in batches of any size."""
    marks: tuple[tuple["Marking", ...], ...] = ()
    """What each device marks, one thing after the other."""
    fetches: tuple[int, ...] = (1,)
    """How often each reader fetches."""
    crashes: int = 0
    """Of the consumer, or of a device's request, which the device then repeats."""
    flushes: int = 0
    losses: int = 0
    """Announcements that do not arrive, or arrive without anybody learning it."""
    leases_expire: bool = False
    capacity: int = 8


class Marking(NamedTuple):
    """Mark these notifications read, or unread."""

    chosen: int
    read: bool = True
    named: bool = True
    """By id. By version, the announcement names nothing."""


# --- a state --------------------------------------------------------------------------------------------


class Change(NamedTuple):
    """An announcement. Only one with `applicable` says what changed."""

    prev: int
    version: int
    total: int
    applicable: bool = False
    gone: int = 0
    new: int = 0


class Entry(NamedTuple):
    version: int
    held: int
    total: int
    complete: bool


class Consumer(NamedTuple):
    """Announces a batch while it stores the next. A crash takes it back to the last committed offset."""

    committed: int = 0
    stored: int = 0
    outbox: tuple["Change | int", ...] = ()
    """Announcements in order, and after those of a batch the offset to commit."""


class Device(NamedTuple):
    done: int = 0
    announcing: Change | None = None


class Reader(NamedTuple):
    fetches: int
    """How often it has still to fetch."""
    lease: int = 0
    read: int = -1
    """The version that it read from PostgreSQL."""


NOT_COMMITTED: Final = -1
"""Changes of several notifications take several versions, of which only the last is ever visible."""


Devices: TypeAlias = tuple[Device, ...]
Readers: TypeAlias = tuple[Reader, ...]


class State(NamedTuple):
    # PostgreSQL
    stored: int
    log: tuple[int, ...]
    """Which notifications were unread at each version."""
    # Redis
    entry: Entry | None
    lease: int
    leases_counted: int
    # the processes
    consumer: Consumer
    devices: Devices
    readers: Readers
    """Sorted: which of them does what makes no difference."""
    untold: int
    """The newest version that an announcement was lost of, until it is told."""
    # what may still go wrong
    crashes: int
    flushes: int
    losses: int
    # for the check
    told: int
    """The newest version whose announcement has arrived."""

    @property
    def version(self) -> int:
        return len(self.log) - 1

    @property
    def unread(self) -> int:
        return self.log[-1]


Step: TypeAlias = tuple[tuple[object, ...], State]
"""What happened, and the state after it."""


# --- PostgreSQL -----------------------------------------------------------------------------------------


def _committed(state: State, stored: int, unread: int) -> State:
    """Give every notification that changed the next version."""
    steps = ((stored ^ state.stored) | (unread ^ state.unread)).bit_count()
    if steps == 0:
        return state
    log = (*state.log, *(NOT_COMMITTED,) * (steps - 1), unread)
    return state._replace(stored=stored, log=log)


def _settled(state: State) -> Change:
    return Change(state.version, state.version, state.unread.bit_count())


def _append(rules: Protocol, state: State, batch: int) -> tuple[State, tuple[Change, ...]]:
    added = batch & ~state.stored
    present = (_settled(state),) if batch & state.stored and rules.settles_redelivered else ()
    after = _committed(state, state.stored | added, state.unread | added)
    if not added:
        return after, present
    change = Change(state.version, after.version, after.unread.bit_count(), True, 0, added)
    return after, (*present, change)


def _mark(rules: Protocol, state: State, marking: Marking) -> tuple[State, Change | None]:
    chosen = marking.chosen & state.stored
    changed = chosen & (state.unread if marking.read else ~state.unread)
    if not changed:
        return state, _settled(state) if rules.settles_marked else None
    after = _committed(state, state.stored, state.unread ^ changed)
    if not marking.named:
        return after, _settled(after)
    new = 0 if marking.read else changed
    return after, Change(state.version, after.version, after.unread.bit_count(), True, changed, new)


# --- Redis ----------------------------------------------------------------------------------------------


def _newest(unread: int, capacity: int) -> int:
    while unread.bit_count() > capacity:
        unread &= unread - 1
    return unread


def _applied(rules: Protocol, entry: Entry, change: Change, capacity: int) -> Entry | None:
    """The entry after a change that it is exactly one behind, or None if it cannot tell."""
    held = entry.held & ~change.gone
    for bit in _bits(change.new):
        if not entry.complete and rules.knows_window:
            if not held:
                return None
            if bit < held & -held:
                continue
        held |= bit
    kept = _newest(held, capacity)
    return Entry(change.version, kept, change.total, entry.complete and kept == held)


def _bits(number: int) -> Iterator[int]:
    while number:
        bit = number & -number
        yield bit
        number ^= bit


def _announced(rules: Protocol, scenario: Scenario, state: State, change: Change) -> State:
    entry = state.entry
    lease = 0 if rules.voids_leases else state.lease
    if entry is None and not rules.needs_entry and change.applicable:
        entry = Entry(change.prev, 0, 0, True)
    if entry is not None and (entry.version < change.version or not rules.checks_versions):
        if change.applicable and (entry.version == change.prev or not rules.checks_versions):
            entry = _applied(rules, entry, change, scenario.capacity)
        elif rules.drops_on_gap:
            entry = None
    return state._replace(entry=entry, lease=lease, told=max(state.told, change.version))


def _leased(rules: Protocol, state: State) -> tuple[State, int]:
    """Take the lease, if nobody has it."""
    if not rules.leases:
        return state, 1
    if state.lease:
        return state, 0
    if not rules.random_leases:
        counted = state.leases_counted + 1
        return state._replace(lease=counted, leases_counted=counted), counted
    # One that nobody has. That somebody once had it makes no difference to those who are there.
    held = {reader.lease for reader in state.readers}
    lease = next(number for number in range(1, len(held) + 2) if number not in held)
    return state._replace(lease=lease), lease


def _loaded(rules: Protocol, scenario: Scenario, state: State, reader: Reader) -> State:
    if rules.leases and state.lease != reader.lease:
        return state
    unread = state.log[reader.read]
    held = _newest(unread, scenario.capacity)
    return state._replace(entry=Entry(reader.read, held, unread.bit_count(), held == unread), lease=0)


# --- the actors -----------------------------------------------------------------------------------------

Actor: TypeAlias = Callable[[Protocol, Scenario, State], Iterator[Step]]


def _consumer(rules: Protocol, scenario: Scenario, state: State) -> Iterator[Step]:
    me = state.consumer
    # As the worker does: the next batch is stored while one is announced, and no further ahead.
    if sum(isinstance(item, int) for item in me.outbox) < 2:
        for offset in range(me.stored + 1, len(scenario.records) + 1):
            batch = 0
            for record in scenario.records[me.stored : offset]:
                batch |= record
            after, changes = _append(rules, state, batch)
            busy = Consumer(me.committed, offset, (*me.outbox, *changes, offset))
            yield ("consumer stores up to record", offset), after._replace(consumer=busy)
    if me.outbox:
        item, rest = me.outbox[0], me.outbox[1:]
        if isinstance(item, int):
            committed = Consumer(item, me.stored, rest)
            yield ("consumer commits offset", item), state._replace(consumer=committed)
        else:
            told = state._replace(consumer=Consumer(me.committed, me.stored, rest))
            yield from _announcing(rules, scenario, told, item)
    if state.crashes and me.stored > me.committed:
        restarted = Consumer(me.committed, me.committed)
        yield ("consumer crashes",), state._replace(crashes=state.crashes - 1, consumer=restarted)


def _devices(rules: Protocol, scenario: Scenario, state: State) -> Iterator[Step]:
    for number, me in enumerate(state.devices):
        before, after = state.devices[:number], state.devices[number + 1 :]

        def become(state: State, device: Device, before: Devices = before, after: Devices = after) -> State:
            return state._replace(devices=(*before, device, *after))

        if me.announcing is not None:
            yield from _announcing(rules, scenario, become(state, Device(me.done + 1)), me.announcing)
            if state.crashes:
                crashed = state._replace(crashes=state.crashes - 1)
                yield ("the request of device", number, "crashes"), become(crashed, Device(me.done))
        elif me.done < len(scenario.marks[number]):
            marking = scenario.marks[number][me.done]
            stored, change = _mark(rules, state, marking)
            device = Device(me.done + 1) if change is None else Device(me.done, change)
            yield ("device", number, "stores", marking), become(stored, device)


def _readers(rules: Protocol, scenario: Scenario, state: State) -> Iterator[Step]:
    for number, me in enumerate(state.readers):
        others = state.readers[:number] + state.readers[number + 1 :]

        def become(state: State, reader: Reader, others: Readers = others) -> State:
            return state._replace(readers=tuple(sorted((*others, reader))))

        if me.lease == 0:
            if me.fetches:
                if state.entry is not None and state.entry.complete:
                    yield ("a reader hits",), become(state, Reader(me.fetches - 1))
                else:
                    after, lease = _leased(rules, state)
                    reader = Reader(me.fetches, lease) if lease else Reader(me.fetches - 1)
                    yield ("a reader misses and has lease", lease), become(after, reader)
        elif me.read < 0:
            yield ("a reader reads version", state.version), become(state, me._replace(read=state.version))
        else:
            after = _loaded(rules, scenario, state, me)
            yield ("a reader loads version", me.read), become(after, Reader(me.fetches - 1))


def _fate(rules: Protocol, scenario: Scenario, state: State) -> Iterator[Step]:
    if state.untold:
        settled = Change(state.untold, state.untold, state.log[state.untold].bit_count())
        told = _announced(rules, scenario, state._replace(untold=0), settled)
        yield ("what was untold is told",), told
    if state.flushes:
        empty = state._replace(flushes=state.flushes - 1, entry=None, lease=0, leases_counted=0)
        yield ("Redis is flushed",), empty
    if scenario.leases_expire and state.lease:
        yield ("the lease expires",), state._replace(lease=0)


def _announcing(rules: Protocol, scenario: Scenario, state: State, change: Change) -> Iterator[Step]:
    arrived = _announced(rules, scenario, state, change)
    yield ("announced:", change), arrived
    if state.losses:
        untold = max(state.untold, change.version) if rules.remembers_untold else state.untold
        for how, after in (("lost:", state), ("announced, but unconfirmed:", arrived)):
            yield (how, change), after._replace(untold=untold, losses=state.losses - 1)


# --- what must hold -------------------------------------------------------------------------------------


def wrong(state: State) -> str | None:
    """Say what is wrong with the entry as it stands, if anything."""
    entry = state.entry
    if entry is None:
        return None
    unread = state.log[entry.version]
    if unread == NOT_COMMITTED:
        return "the entry claims a version that nobody ever saw"
    if entry.total != unread.bit_count():
        return "the count is not that of its version"
    # All of them, or all from the oldest one held.
    window = unread if entry.complete else unread & ~((entry.held & -entry.held) - 1)
    if entry.held != window and (entry.held or entry.complete):
        return "the entry is not what the store had at its version"
    if entry.version < state.told:
        return "the entry is older than an announcement that arrived"
    return None


def quiet(scenario: Scenario, state: State) -> bool:
    """Whether everybody has done what there was to do."""
    return (
        state.consumer.committed == len(scenario.records)
        and not state.untold
        and all(d.done == len(todo) for d, todo in zip(state.devices, scenario.marks, strict=True))
        and all(reader.fetches == 0 for reader in state.readers)
    )


# --- the explorer ---------------------------------------------------------------------------------------

_ACTORS: tuple[Actor, ...] = (_consumer, _devices, _readers, _fate)


@dataclass(frozen=True, slots=True)
class Explored:
    """What came of an exploration: it ends at the first violation."""

    states: int
    finals: int
    """How many of them are quiet."""
    warm: int
    """In how many of those the index holds an entry, so that not all is well only because nothing is kept."""
    violation: str | None = None
    schedule: tuple[str, ...] = ()


def explore(scenario: Scenario, rules: Protocol | None = None) -> Explored:
    """Try every schedule."""
    rules = rules or Protocol()
    start = _start(scenario)
    came_from: dict[State, tuple[State, tuple[object, ...]] | None] = {start: None}
    waiting = deque([start])  # breadth first, so that a violation comes with a shortest schedule
    finals = warm = 0
    while waiting:
        state = waiting.popleft()
        violation = wrong(state)
        if quiet(scenario, state):
            finals += 1
            warm += state.entry is not None
            if violation is None and state.entry is not None and state.entry.version != state.version:
                violation = "all is quiet and the entry is old"
        if violation is not None:
            return Explored(len(came_from), finals, warm, violation, _schedule(came_from, state))
        for actor in _ACTORS:
            for label, after in actor(rules, scenario, state):
                if after not in came_from:
                    came_from[after] = state, label
                    waiting.append(after)
    return Explored(len(came_from), finals, warm)


def _start(scenario: Scenario) -> State:
    return State(
        stored=0,
        log=(0,),
        entry=None,
        lease=0,
        leases_counted=0,
        consumer=Consumer(),
        devices=(Device(),) * len(scenario.marks),
        readers=tuple(sorted(Reader(fetches) for fetches in scenario.fetches)),
        untold=0,
        crashes=scenario.crashes,
        flushes=scenario.flushes,
        losses=scenario.losses,
        told=0,
    )


def _schedule(
    came_from: dict[State, tuple[State, tuple[object, ...]] | None], state: State
) -> tuple[str, ...]:
    labels: list[str] = []
    while (step := came_from[state]) is not None:
        state, label = step
        labels.append(" ".join(map(str, label)))
    return tuple(reversed(labels))
