"""The product's promises, each compared with the evidence of a run.

A check takes evidence and returns a verdict. It reads nothing else, so that it can be tested on evidence made
by hand.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from domain.states import STATES
from workbench.soak.evidence import CHECKS, Evidence, Injected, Notes, Verdict, checks
from workbench.soak.faults import CATALOGUE
from workbench.soak.stores import Record, Row
from workbench.soak.watch import Poll, Sample

HEALTH_SECONDS = 10.0
_POLL_SECONDS = 1.5  # how late a poll may be
_ABSENT_SECONDS = 5.0
RECOVERY_SECONDS = 60.0
PROBE_SECONDS = 1.5 * RECOVERY_SECONDS
"""For how long a run waits for a recovery."""
GROWTH_BYTES = 32 * 1024 * 1024
GROWTH_RATIO = 1.2
GROWTH_DESCRIPTORS = 64  # full pools stay full: 10 connections to PostgreSQL, 32 to Redis, Kafka's
GROWTH_TASKS = 16
IN_USE = 1  # connections to PostgreSQL: the health check's
_BASE_SECONDS = 20.0
_ALARM_SECONDS = 6.0  # for so long a process may report what it last saw
TOO_BUSY = "the machine was too busy to tell whether "
_REQUIRED = frozenset({"postgres", "kafka", "partitions"})


def judge(evidence: Evidence) -> Sequence[Verdict]:
    """Every check, in order."""
    return [check(evidence) for check in CHECKS]


@checks("I1", "What was accepted is stored exactly once, or is a dead letter")
def accepted_once(evidence: Evidence, notes: Notes) -> None:
    """An id is stored once. A key stands for one notification, unless Redis forgot it meanwhile. After a
    crash a record may be written to the dead-letter topic again: copies are counted, not reported.
    """
    stored = Counter(row.id for row in evidence.rows)
    letters = {letter.id for letter in evidence.dead_letters or () if letter.id}
    copies = Counter(_origin(letter) for letter in evidence.dead_letters or ())
    accepted = {id_: item for item in evidence.history.items.values() for id_ in item.accepted}
    notes.wrong += [f"{id_} is stored {times} times" for id_, times in stored.items() if times > 1]
    notes.wrong += [f"{id_} is stored and a dead letter" for id_ in stored.keys() & letters]
    lost = [id_ for id_ in accepted if id_ not in stored and id_ not in letters]
    if evidence.dead_letters is None and lost:
        notes.unchecked = f"the dead letters could not be read; {len(lost)} accepted are not stored"
    else:
        notes.wrong += [f"{id_} ({accepted[id_].message}) was accepted and is nowhere" for id_ in lost]
    forgotten = 0
    for item in evidence.history.items.values():
        forgiven = sum(item.begun <= moment <= item.ended for moment in evidence.redis_forgot)
        forgotten += len(item.accepted) > 1
        if len(item.accepted) > 1 + (forgiven if item.key else 0):
            notes.wrong.append(f"{item.message} was accepted with the ids {sorted(item.accepted)}")
    uncertain = sum(not item.accepted and item.uncertain > 0 for item in evidence.history.items.values())
    notes.figures = {
        "accepted": len(accepted),
        "stored": len(evidence.rows),
        "dead letters": len(letters),
        "outcome unknown": uncertain,
        "copies of dead letters": copies.total() - len(copies),
        "keys forgotten with Redis": forgotten,
    }


@checks("I2", "Nothing is stored that nobody sent")
def nothing_invented(evidence: Evidence, notes: Notes) -> None:
    """Each row was sent to that user, was not refused, and is stored no more often than it was sent."""
    of_item: defaultdict[str, list[Row]] = defaultdict(list)
    for row in evidence.rows:
        of_item[row.message].append(row)
    for message, rows in of_item.items():
        item = evidence.history.items.get(message)
        if item is None:
            notes.wrong.append(f"{rows[0].id} ({message!r}) was sent by nobody")
            continue
        notes.wrong += [
            f"{row.id} is {row.user}'s, sent to {item.user}" for row in rows if row.user != item.user
        ]
        if not item.may_be_stored:
            notes.wrong.append(f"{message} was refused and is stored")
        told = item.accepted | item.unknown
        surplus = {row.id for row in rows} - told
        forgiven = sum(item.begun <= moment <= item.ended for moment in evidence.redis_forgot)
        if len(rows) > 1 and len(surplus) + len(told) > 1 + (forgiven if item.key else 0):
            notes.wrong.append(f"{message} is stored as {sorted(row.id for row in rows)}")
    notes.figures = {"stored": len(evidence.rows), "sent": len(evidence.history.items)}


@checks("I3", "Redis and PostgreSQL agree, and every page is true in itself")
def stores_agree(evidence: Evidence, notes: Notes) -> None:
    """After everything has settled, for each user in the index, and for each feed and its own
    notifications.
    """
    history = evidence.history
    notes.wrong += [f"feed: {words}" for words in evidence.broken_feeds]
    notes.wrong += [f"index: {words}" for words in evidence.disagreements]
    notes.wrong += [f"page: {words}" for words in history.bad_pages]
    notes.figures = {"feeds": len(evidence.versions), "indexed": evidence.indexed, "pages": history.pages}


@checks("I4", "Nobody sees another's anything")
def private(evidence: Evidence, notes: Notes) -> None:
    """Not in frames, not in pages, and not when asked for."""
    owner = {row.id: row.user for row in evidence.rows}
    for follower in evidence.followers:
        notes.wrong += follower.foreign
        notes.wrong += [
            f"{follower.user} was sent {id_} of {owner[id_]}"
            for id_ in follower.created
            if owner.get(id_, follower.user) != follower.user
        ]
    notes.wrong += evidence.history.trespasses
    notes.figures = {
        "items in frames": sum(len(follower.created) for follower in evidence.followers),
        "trespasses tried": evidence.history.attempted_trespasses,
    }


@checks("I5", "Read never turns unread unless asked")
def read_stays_read(evidence: Evidence, notes: Notes) -> None:
    """What was acknowledged as read stays read, in the store and in frames, unless somebody asked
    otherwise.
    """
    markings = evidence.history.markings
    named = [(marking.mark, id_, marking.acknowledged) for marking in markings for id_ in marking.ids]
    asked = {id_ for mark, id_, _ in named if mark == "unread"}
    touched = {id_ for _, id_, _ in named}
    rows = {row.id: row for row in evidence.rows}
    read = {id_ for mark, id_, acknowledged in named if mark == "read" and acknowledged}
    # A change gives a notification a new version, which an earlier position does not cover.
    read |= set(_read_up_to(evidence)) - touched
    notes.wrong += [
        f"{id_} was marked read and is unread"
        for id_ in sorted(read - asked)
        if id_ in rows and rows[id_].times["read_at"] is None
    ]
    notes.wrong += [
        f"{follower.user} saw {id_} turn unread"
        for follower in evidence.followers
        for id_ in sorted(follower.revived - asked)
    ]
    notes.figures = {
        "marks": len(markings),
        "acknowledged": sum(marking.acknowledged for marking in markings),
        "notifications read": len(read),
    }


def _read_up_to(evidence: Evidence) -> Iterator[str]:
    for marking in evidence.history.markings:
        if marking.up_to is None or not marking.acknowledged:
            continue
        for follower in evidence.followers:
            if follower.user == marking.user:
                yield from (id_ for id_, version in follower.created.items() if version <= marking.up_to)


@checks("I6", "Live and catch-up yield every change in order, without a gap")
def streams_are_whole(evidence: Evidence, notes: Notes) -> None:
    """A follower from the beginning has each of its user's notifications in its stored state."""
    rows: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for row in evidence.rows:
        rows[row.user][row.id] = row
    for follower in evidence.followers:
        user = follower.user
        notes.wrong += [f"{user}: {words}" for words in (*follower.holes, *follower.resets)]
        missing = rows[user].keys() - follower.items.keys()
        notes.wrong += [f"{user} never received {id_}" for id_ in sorted(missing)]
        notes.wrong += [
            f"{user} has {_state(follower.items[id_])} for {id_}, stored is {_stored_state(row)}"
            for id_, row in rows[user].items()
            if id_ in follower.items and _state(follower.items[id_]) != _stored_state(row)
        ]
        at = int((follower.cursor or "0").rpartition(".")[2])
        if at != evidence.versions.get(user, 0):
            notes.wrong.append(f"{user} is at {at}, the feed at {evidence.versions.get(user)}")
    notes.figures = {
        "followers": len(evidence.followers),
        "connections": sum(follower.connections for follower in evidence.followers),
        "notifications followed": sum(len(follower.items) for follower in evidence.followers),
    }


def _state(item: Mapping[str, Any]) -> tuple[datetime | None, ...]:
    return tuple(datetime.fromisoformat(item[time]) if item.get(time) else None for time in STATES)


def _stored_state(row: Row) -> tuple[datetime | None, ...]:
    return tuple(row.times[time] for time in STATES)


@checks("I7", "Committed offsets never pass a record that is in neither store")
def offsets_are_honest(evidence: Evidence, notes: Notes) -> None:
    """Compared with commits during the run, and at the end, when the consumer has nothing left to do."""
    if evidence.left is None or evidence.dead_letters is None:
        notes.unchecked = "Kafka could not be read in the end"
        return
    kept = {_origin(letter) for letter in evidence.dead_letters}
    notes.wrong += [
        f"partition {record.partition}, offset {record.offset} ({record.id}) was passed when it was nowhere"
        for record in evidence.suspects
        if (record.partition, record.offset) not in kept
    ]
    notes.wrong += [
        f"partition {record.partition}, offset {record.offset} was never committed"
        for record in evidence.left
    ]
    notes.figures = {
        "records compared": sum(evidence.checked.values()),
        "partitions": len(evidence.checked),
        "dead letters": len(kept),
    }
    if not any(evidence.checked.values()):
        notes.unchecked = "no offset was committed"


def _origin(letter: Record) -> tuple[int, int]:
    headers = letter.headers
    return int(headers["dlq-original-partition"]), int(headers["dlq-original-offset"])


@checks("I8", "Memory, descriptors, tasks and the pool come back to where they were")
def resources_return(evidence: Evidence, notes: Notes) -> None:
    """Each process that lives at the end is compared with itself shortly after its start."""
    by_process: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in evidence.samples:
        by_process[sample.process, sample.pid].append(sample)
    last = max((sample.t for sample in evidence.samples), default=0.0)
    for (name, _), samples in by_process.items():
        if samples[-1].t >= last - 2.0:
            notes.wrong += _growth(name, samples, evidence, notes.figures)
    for name, after in evidence.gauges_after.items():
        before = evidence.gauges_before.get(name.partition(" ")[0], {})
        tasks = after.get("bellwire_tasks", 0) - before.get("bellwire_tasks", 0)
        if tasks > GROWTH_TASKS:
            notes.wrong.append(f"{name} has {tasks:.0f} tasks more than at first")
        if (in_use := after.get("bellwire_postgres_connections_in_use", 0)) > IN_USE:
            notes.wrong.append(f"{name} keeps {in_use:.0f} connections to PostgreSQL in use")
        notes.figures[f"{name}: tasks"] = f"{after.get('bellwire_tasks', 0):.0f} ({tasks:+.0f})"
    if not evidence.samples:
        notes.unchecked = "no process was watched"


def _growth(
    name: str, samples: Sequence[Sample], evidence: Evidence, figures: dict[str, Any]
) -> Sequence[str]:
    began = samples[0].t
    early = [sample for sample in samples if sample.t <= began + _BASE_SECONDS]
    base = median(sample.rss for sample in early[len(early) // 2 :])
    end = samples[-1]
    figures[f"{name}: RSS"] = f"{_mib(base)} to {_mib(end.rss)} MiB"
    figures[f"{name}: descriptors"] = end.descriptors
    wrong = []
    if end.rss > base * GROWTH_RATIO + GROWTH_BYTES:
        wrong.append(f"{name} grew from {_mib(base)} to {_mib(end.rss)} MiB")
    idle = evidence.idle_descriptors.get(name.partition(" ")[0], samples[0].descriptors)
    if end.descriptors > idle + GROWTH_DESCRIPTORS:
        wrong.append(f"{name} has {end.descriptors} descriptors open, {idle} at first")
    return wrong


def _mib(size: float) -> str:
    return f"{size / 1024 / 1024:.0f}"


@checks("I9", "Health tells the truth within 10 s")
def health_is_true(evidence: Evidence, notes: Notes) -> None:
    """An unavailable server is reported, so is its return, and nothing is reported in quiet times. This does
    not cover partitions that stand still: a fault may hold them for a moment.
    """
    noticed: list[float] = []
    recovered: list[float] = []
    for fault in evidence.injected:
        for role, server in sorted(CATALOGUE[fault.name].severs):
            polls: defaultdict[str, list[Poll]] = defaultdict(list)
            for poll in evidence.polls:
                if poll.role == role and server in poll.checks:
                    polls[poll.process].append(poll)
            for process, said in polls.items():
                if not any(fault.begun - _ABSENT_SECONDS <= poll.t <= fault.begun for poll in said):
                    continue  # the process did not run
                where = f"{process} during “{fault.name}” at {fault.begun:.0f} s"
                for words in _truth(evidence, fault, server, said, (noticed, recovered)):
                    notes.wrong.append(f"{where}: {words}")
    alarms = Counter(
        f"{poll.process} called {name} unavailable in quiet times"
        for poll in evidence.polls
        for name, good in poll.checks.items()
        if name in _REQUIRED and not good and not _disturbed(poll.t, evidence)
    )
    notes.wrong += [f"{words}, {times} times" for words, times in alarms.items() if times > 2]
    notes.figures = {
        "polls": len(evidence.polls),
        "slowest to notice": _seconds(noticed),
        "slowest to see it back": _seconds(recovered),
        "false alarms": alarms.total(),
    }


def _truth(
    evidence: Evidence,
    fault: Injected,
    server: str,
    polls: Sequence[Poll],
    times: tuple[list[float], list[float]],
) -> Sequence[str]:
    """What is wrong with a process's reports of a server that was cut off, and with their times."""
    noticed, recovered = times
    wrong = []
    down = next((p.t for p in polls if fault.begun <= p.t <= fault.ended and not p.checks[server]), None)
    if down is not None:
        noticed.append(down - fault.begun)
    if evidence.counted(fault.begun, down or fault.ended) > HEALTH_SECONDS + _POLL_SECONDS:
        wrong.append(
            f"{server} was reported unavailable: "
            + ("never" if down is None else f"after {noticed[-1]:.1f} s")
        )
    up = next((p.t for p in polls if p.t >= fault.ended and p.checks[server]), None)
    if up is not None:
        recovered.append(up - fault.ended)
    if up is None or evidence.counted(fault.ended, up) > HEALTH_SECONDS + _POLL_SECONDS:
        wrong.append(
            f"{server} was reported available again: "
            + ("never" if up is None else f"after {recovered[-1]:.1f} s")
        )
    return wrong


def _disturbed(t: float, evidence: Evidence) -> bool:
    """Whether a fault, or a machine that is too busy, is a reason to report a server as unavailable."""
    if evidence.counted(t - _ALARM_SECONDS, t) < _ALARM_SECONDS / 2:
        return True
    return any(
        fault.begun <= t and evidence.counted(fault.ended, max(fault.ended, t)) <= _settles(fault)
        for fault in evidence.injected
    )


def _settles(fault: Injected) -> float:
    """How many seconds into a run a fault's effects end. Until every process is ready again, a partition may
    stand still, or a restarted consumer have none: the check of recovery covers how long that takes.
    """
    ready = RECOVERY_SECONDS if fault.ready_after is None else fault.ready_after
    return max(HEALTH_SECONDS, min(ready, RECOVERY_SECONDS))


def _seconds(times: Sequence[float]) -> str:
    return f"{max(times):.1f} s" if times else "-"


@checks("I11", f"Everything works again within {RECOVERY_SECONDS:.0f} s of a fault's end")
def recovers(evidence: Evidence, notes: Notes) -> None:
    """Until new notifications of all partitions reach their sockets and every process reports that it is
    ready.
    """
    for fault in evidence.injected:
        for what, took in (("delivered", fault.delivered_after), ("was ready", fault.ready_after)):
            within = PROBE_SECONDS if took is None else took
            if evidence.counted(fault.ended, fault.ended + within) <= RECOVERY_SECONDS:
                if took is None:
                    notes.unchecked = f"{TOO_BUSY}it recovers from “{fault.name}” ({fault.begun:.0f} s)"
            else:
                words = "never" if took is None else f"after {took:.1f} s"
                notes.wrong.append(f"after “{fault.name}” ({fault.begun:.0f} s) it {what} again {words}")
    delivered = [fault.delivered_after for fault in evidence.injected if fault.delivered_after is not None]
    ready = [fault.ready_after for fault in evidence.injected if fault.ready_after is not None]
    notes.figures = {
        "faults": len(evidence.injected),
        "until delivered: median": f"{median(delivered):.1f} s" if delivered else "-",
        "until delivered: slowest": _seconds(delivered),
        "until ready: slowest": _seconds(ready),
    }
    if not evidence.injected:
        notes.unchecked = "no fault was injected"
