"""The product's promises, each compared with the evidence of a run.

A check takes evidence and returns a verdict. It reads nothing else, so that it can be tested on evidence made
by hand. Those of single notifications and streams are here, those of what users expect of a bell in
bell_checks, those of the processes in health_checks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.states import STATES
from workbench.soak import bell_checks, health_checks
from workbench.soak.contents import revision_of
from workbench.soak.evidence import CHECKS, Evidence, Notes, Verdict, checks
from workbench.soak.history import Item, Marking
from workbench.soak.stores import Record, Row

__all__ = ["bell_checks", "health_checks", "judge"]


def judge(evidence: Evidence) -> Sequence[Verdict]:
    """Every check, by number."""
    verdicts = [check(evidence) for check in CHECKS]
    return sorted(verdicts, key=lambda verdict: int(verdict.invariant.removeprefix("I")))


@checks("I1", "What was accepted is stored, withheld or a dead letter: exactly one of these, once")
def accepted_once(evidence: Evidence, notes: Notes) -> None:
    """A key stands for one notification, unless Redis forgot it meanwhile. After a crash a record may be
    written to the dead-letter topic again: copies are counted, not reported.
    """
    items = evidence.history.items.values()
    stored = Counter(row.id for row in evidence.rows)
    withheld = Counter(one.id for one in evidence.withheld)
    letters = {letter.id for letter in evidence.dead_letters or () if letter.id}
    copies = Counter(_origin(letter) for letter in evidence.dead_letters or ())
    accepted = {id_: item for item in items for id_ in item.accepted}
    for where, times in (("stored", stored), ("withheld", withheld)):
        notes.wrong += [f"{id_} is {where} {count} times" for id_, count in times.items() if count > 1]
    notes.wrong += [f"{id_} is stored and withheld" for id_ in stored.keys() & withheld.keys()]
    notes.wrong += [f"{id_} is stored and a dead letter" for id_ in stored.keys() & letters]
    notes.wrong += [
        f"{id_} is withheld and a dead letter" for id_ in accepted.keys() & withheld.keys() & letters
    ]
    lost = [id_ for id_ in accepted if not (id_ in stored or id_ in withheld or id_ in letters)]
    if evidence.dead_letters is None and lost:
        notes.unchecked = f"the dead letters could not be read; {len(lost)} accepted are not stored"
    else:
        notes.wrong += [f"{id_} ({accepted[id_].message}) was accepted and is nowhere" for id_ in lost]
    for item in items:
        if len(item.accepted) > 1 + _forgiven(evidence, item):
            notes.wrong.append(f"{item.message} was accepted with the ids {sorted(item.accepted)}")
    notes.figures = {
        "accepted": len(accepted),
        "stored": len(evidence.rows),
        **{f"withheld, {reason}": times for reason, times in _reasons(evidence).items()},
        "dead letters": len(letters),
        "outcome unknown": sum(not item.accepted and item.uncertain > 0 for item in items),
        "copies of dead letters": copies.total() - len(copies),
        "keys forgotten with Redis": sum(len(item.accepted) > 1 for item in items),
    }


def _reasons(evidence: Evidence) -> Mapping[str, int]:
    return dict(sorted(Counter(one.reason for one in evidence.withheld).items()))


def _forgiven(evidence: Evidence, item: Item) -> int:
    """How many more notifications a key may stand for."""
    return sum(item.begun <= moment <= item.ended for moment in evidence.redis_forgot) if item.key else 0


@checks("I2", "Nothing is stored or withheld that nobody sent")
def nothing_invented(evidence: Evidence, notes: Notes) -> None:
    """Each row was sent to that user, was not refused, and is stored no more often than it was sent. What is
    withheld has an id that was told, or else one whose outcome was unknown.
    """
    of_item: defaultdict[str, list[Row]] = defaultdict(list)
    for row in evidence.rows:
        of_item[revision_of(row.message)[0]].append(row)
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
        surplus = {row.id for row in rows} - item.ids
        if len(rows) > 1 and len(surplus) + len(item.ids) > 1 + _forgiven(evidence, item):
            notes.wrong.append(f"{message} is stored as {sorted(row.id for row in rows)}")
    notes.wrong += _withheld_of_nobody(evidence)
    notes.figures = {"stored": len(evidence.rows), "sent": len(evidence.history.items)}


def _withheld_of_nobody(evidence: Evidence) -> Iterator[str]:
    told = {id_: item.user for item in evidence.history.items.values() for id_ in item.ids}
    unknown: Counter[str] = Counter()
    for item in evidence.history.items.values():
        unknown[item.user] += item.uncertain
    strange: Counter[str] = Counter()
    for one in evidence.withheld:
        if one.id not in told:
            strange[one.user] += 1
        elif told[one.id] != one.user:
            yield f"{one.id} is withheld from {one.user}, sent to {told[one.id]}"
    for user, times in strange.items():
        if times > unknown[user]:
            yield f"{times} are withheld from {user} that nobody sent"


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


@checks("I5", "Read never turns unread unless asked, nor seen unseen; an answer is given once")
def read_stays_read(evidence: Evidence, notes: Notes) -> None:
    """What was acknowledged as read stays read, in the store and in frames, unless somebody asked
    otherwise. What was retracted before is not marked any more.
    """
    history = evidence.history
    asked, named = history.reopened, _named(evidence)
    rows = {row.id: row for row in evidence.rows if not row.retracted}
    # A change gives a notification a new version, which an earlier position does not cover.
    read = {*named["read"], *named["acted"], *(set(_read_up_to(evidence)) - named["touched"])}
    for time, ids in (("read_at", read - asked), ("seen_at", (read | named["seen"]) - asked)):
        notes.wrong += [
            f"{id_} was marked {time.removesuffix('_at')} and is un{time.removesuffix('_at')}"
            for id_ in sorted(ids)
            if id_ in rows and rows[id_].times[time] is None
        ]
    for follower in evidence.followers:
        user = follower.user
        notes.wrong += [f"{user} saw {id_} turn unread" for id_ in sorted(follower.revived - asked)]
        notes.wrong += [f"{user} saw {id_} turn unseen" for id_ in sorted(follower.unseen - asked)]
    notes.wrong += _answered_twice(history.markings, rows, asked)
    notes.figures = {
        "marks": len(history.markings),
        "acknowledged": sum(marking.acknowledged for marking in history.markings),
        "notifications read": len(read),
        "seen": sum(row.times["seen_at"] is not None for row in evidence.rows),
        "acted on": sum(row.action is not None for row in evidence.rows),
    }


def _named(evidence: Evidence) -> Mapping[str, set[str]]:
    """The ids that acknowledged marks named, by mark; and all those that marks or producers touched."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for marking in evidence.history.markings:
        named["touched"].update(marking.ids)
        if marking.acknowledged:
            named[marking.mark].update(marking.ids)
    for item in evidence.history.items.values():
        if item.revisions or item.collapse_key or item.retracted is not None:
            named["touched"] |= item.ids
    return named


def _read_up_to(evidence: Evidence) -> Iterator[str]:
    """What acknowledged marks up to a position covered, as far as no other such mark may have changed it
    before.
    """
    markings = [one for one in evidence.history.markings if one.up_to is not None]
    for marking in markings:
        if marking.mark != "read" or not marking.acknowledged:
            continue
        others = [
            one.up_to or 0
            for one in markings
            if one.user == marking.user and one.mark != "read" and one.begun < marking.ended
        ]
        above, highest = max(others, default=0), marking.up_to or 0
        for follower in evidence.followers:
            if follower.user == marking.user:
                yield from (
                    id_
                    for id_, version in follower.created.items()
                    if above < version <= highest
                    and marking.category in {None, follower.items[id_].get("category")}
                )


def _answered_twice(
    markings: Sequence[Marking], rows: Mapping[str, Row], reopened: set[str]
) -> Iterator[str]:
    answers: defaultdict[str, set[str | None]] = defaultdict(set)
    for marking in markings:
        if marking.mark == "acted" and marking.acknowledged:
            answers[marking.ids[0]].add(marking.action)
    for id_, actions in answers.items():
        if id_ in reopened:
            continue
        if len(actions) > 1:
            yield f"{id_} was answered with {sorted(map(str, actions))}"
        elif id_ in rows and rows[id_].action not in actions:
            yield f"{id_} was answered with {actions}, stored is {rows[id_].action}"


@checks("I6", "Live and catch-up yield every change in order, without a gap")
def streams_are_whole(evidence: Evidence, notes: Notes) -> None:
    """A follower from the beginning has each of its user's notifications in its stored state."""
    rows: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for row in evidence.rows:
        rows[row.user][row.id] = row
    for follower in evidence.followers:
        user = follower.user
        notes.wrong += [
            f"{user}: {words}" for words in (*follower.holes, *follower.resets, *follower.turned_back)
        ]
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


def _state(item: Mapping[str, Any]) -> Sequence[object]:
    """What a client shows. Of what was retracted that is nothing: an edit that came with the retraction is in
    no frame.
    """
    times = {time: datetime.fromisoformat(item[time]) if item.get(time) else None for time in STATES}
    if times["retracted_at"] is not None:
        return (times["retracted_at"],)
    return (item.get("message"), item.get("action"), item.get("count") or 1, *times.values())


def _stored_state(row: Row) -> Sequence[object]:
    if row.retracted:
        return (row.times["retracted_at"],)
    return (row.message, row.action, row.stands_for, *(row.times[time] for time in STATES))


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
