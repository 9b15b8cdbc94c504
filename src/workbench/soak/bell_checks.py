"""What must hold of counts, groups, edits and preferences."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain

from workbench.soak.contents import (
    BRIEF,
    CHOOSABLE,
    MANDATORY,
    UNASKED,
    collapse_of,
    may_be_retracted,
    revision_of,
)
from workbench.soak.evidence import Evidence, Notes, checks
from workbench.soak.history import Chosen, Item
from workbench.soak.stores import Row, Withheld


@checks("I13", "All counts equal the notifications: in the feeds, in pages and in every frame")
def counts_are_exact(evidence: Evidence, notes: Notes) -> None:
    """What is unread by category adds up, and what is unseen is unread."""
    notes.wrong += [f"feed: {words}" for words in evidence.miscounted_feeds]
    for follower in evidence.followers:
        notes.wrong += follower.miscounted
    notes.wrong += evidence.history.bad_counts
    notes.figures = {
        "compared": sum(follower.counted for follower in evidence.followers),
        "categories": len({row.category for row in evidence.rows}),
    }


@checks("I14", "What collapses is one notification with an exact count")
def collapsed_into_one(evidence: Evidence, notes: Notes) -> None:
    """Of one user and key at most one is open to others. Its count is of all that arrived, each once."""
    by_key: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in evidence.rows:
        if row.collapse_key is not None:
            by_key[row.user, row.collapse_key].append(row)
    reopened = evidence.history.reopened
    of_key = _sent(evidence)
    elided = {one.id for one in evidence.withheld if one.reason == "superseded"}
    for (user, key), rows in by_key.items():
        open_ones = [row.id for row in rows if _is_open(row, key) and row.id not in reopened]
        if len(open_ones) > 1:
            notes.wrong.append(f"{user} has {key} {len(open_ones)} times: {open_ones}")
        notes.wrong += _wrong_count(f"{key} of {user}", rows, of_key[user, key], elided)
    shown = [row for rows in by_key.values() for row in rows if not row.retracted]
    notes.figures = {
        "keys": len(by_key),
        "arrived": sum(map(len, by_key.values())) + len(elided),
        "shown": len(shown),
        "largest count": max((row.stands_for for row in shown), default=0),
    }


def _sent(evidence: Evidence) -> Mapping[tuple[str, str], Sequence[Item]]:
    items: defaultdict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in evidence.history.items.values():
        if item.collapse_key is not None:
            items[item.user, item.collapse_key].append(item)
    return items


def _is_open(row: Row, key: str) -> bool:
    """Whether the next one with its key becomes one with it."""
    times = row.times
    return not (row.retracted or times["archived_at"] or (collapse_of(key) == "unread" and times["read_at"]))


def _wrong_count(what: str, rows: Sequence[Row], items: Sequence[Item], elided: set[str]) -> Iterator[str]:
    """What became part of another one is counted there. Where something was retracted nobody can tell."""
    if not items or not may_be_retracted(items[0]):
        counted = sum(row.stands_for for row in rows if not row.retracted)
        arrived = len(rows) + sum(id_ in elided for item in items for id_ in item.ids)
        unknown = sum(item.uncertain for item in items)
        if not arrived <= counted <= arrived + unknown:
            yield f"{what}: counted are {counted}, {arrived} to {arrived + unknown} arrived"


@checks("I15", "Of two revisions the higher stands, and what was retracted stays away")
def highest_revision_stands(evidence: Evidence, notes: Notes) -> None:
    """Whatever the order in which originals, edits and retractions arrived."""
    rows = {row.id: row for row in evidence.rows}
    changed = [item for item in evidence.history.items.values() if item.revisions]
    for item in changed:
        for row in [rows[id_] for id_ in item.ids if id_ in rows]:
            notes.wrong += _wrong_revision(item, row)
    notes.figures = {
        "changed notifications": len(changed),
        "edits": sum(sum(item.revisions.values()) for item in changed),
        "retractions": sum(item.retracted is True for item in changed),
        "edited rows": sum(row.edited for row in evidence.rows),
    }


def _wrong_revision(item: Item, row: Row) -> Iterator[str]:
    if row.retracted:  # edits had no effect from then on
        return
    if item.retracted:
        yield f"{row.id} ({item.message}) was retracted and is shown"
    least = max((revision for revision, known in item.revisions.items() if known), default=0)
    if row.revision < least or row.revision not in {0, *item.revisions}:
        yield f"{row.id} has revision {row.revision}, accepted was {least}"
    if revision_of(row.message)[1] != row.revision:
        yield f"{row.id} has revision {row.revision} with the text {row.message!r}"


@checks("I16", "What a user does not want is not shown from then on, mandatory categories aside")
def preferences_hold(evidence: Evidence, notes: Notes) -> None:
    """By the version of each choice; and nothing is withheld without a reason."""
    notes.wrong += evidence.history.bad_choices
    spans = _spans(evidence)
    for user, id_, category, version in _stored(evidence):
        notes.wrong += [
            f"{id_} ({category}) was stored at {version}, unwanted from {span.since} to {span.until}"
            for span in spans[user]
            if span.since < version <= span.until and not _wants(span, category)
        ]
    notes.wrong += _withheld_wrongly(evidence)
    notes.wrong += _uninformed(evidence)
    notes.figures = {
        "choices": len({(one.user, one.since) for one in chain.from_iterable(spans.values())}),
        "withheld": sum(one.reason == "preference" for one in evidence.withheld),
        "mandatory": sum(row.category == MANDATORY for row in evidence.rows),
    }


def _wants(span: Chosen, category: str) -> bool:
    chosen = span.choices.get(category)
    return category == MANDATORY or (category != UNASKED if chosen is None else chosen)


def _spans(evidence: Evidence) -> Mapping[str, Sequence[Chosen]]:
    """What is known of each user's choices, and for which versions: up to the last answer that told it."""
    last: dict[tuple[str, int], Chosen] = {}
    final = [
        Chosen(feed.user, feed.preferences_version, feed.version, feed.choices) for feed in evidence.feeds
    ]
    for span in sorted([*evidence.history.chosen, *final], key=lambda span: span.until):
        last[span.user, span.since] = span
    spans: defaultdict[str, list[Chosen]] = defaultdict(list)
    for span in last.values():
        spans[span.user].append(span)
    return spans


def _stored(evidence: Evidence) -> Iterator[tuple[str, str, str, int]]:
    """The user, id and category of notifications, and the version with which they were stored."""
    stored = {row.id: row.version for row in evidence.rows if row.untouched}
    for follower in evidence.followers:
        stored |= follower.stored_at
    for row in evidence.rows:
        if row.id in stored:
            yield row.user, row.id, row.category, stored[row.id]


def _withheld_wrongly(evidence: Evidence) -> Iterator[str]:
    items = {id_: item for item in evidence.history.items.values() for id_ in item.ids}
    for one in evidence.withheld:
        if one.id in items and not _has_reason(one, items[one.id], evidence):
            yield f"{one.id} ({one.category}) is withheld from {one.user} without a reason: {one.reason}"
    for row in evidence.rows:
        item = items.get(row.id)
        if item is not None and item.arrives_expired and row.revision == 0:
            yield f"{row.id} had expired when it arrived, and is stored"
        if not row.retracted and (row.category == BRIEF or (item and item.expires_at)):
            yield f"{row.id} ({row.category}) has expired and is shown"


def _has_reason(one: Withheld, item: Item, evidence: Evidence) -> bool:
    match one.reason:
        case "preference":
            return item.category == UNASKED or (item.user, item.category) in evidence.history.switched_off
        case "expired":
            had = item.arrives_expired and not any(item.revisions.values())
            return had or item.expires_at is not None or item.category == BRIEF
        case "retracted":
            return item.retracted is not None
        case "superseded":
            return item.collapse_key is not None
    return False


def _uninformed(evidence: Evidence) -> Iterator[str]:
    """Followers that do not know what their user chose last."""
    feeds = {feed.user: feed for feed in evidence.feeds}
    for follower in evidence.followers:
        feed = feeds.get(follower.user)
        if feed is None:
            continue
        if follower.preferences_version != feed.preferences_version:
            yield f"{follower.user} knows the choices of {follower.preferences_version}, not the last ones"
        elif not follower.missed_choices:
            known = {name: follower.preferences.get(name) for name in CHOOSABLE}
            if known != {name: feed.choices.get(name) for name in CHOOSABLE}:
                yield f"{follower.user} was told of {known}, stored is {dict(feed.choices)}"


@checks("I17", "What was snoozed comes back once, and not before its time unless the user asks")
def snoozed_comes_back(evidence: Evidence, notes: Notes) -> None:
    """What is archived meanwhile stays away, and so does what is retracted."""
    asked, woken_by_hand = _snoozes(evidence), _named_by(evidence, "woken")
    for row in evidence.rows:
        if not row.retracted:
            notes.wrong += _wrong_snooze(
                row, asked.get(row.id, ()), evidence.ended_at, by_hand=row.id in woken_by_hand
            )
    for follower in evidence.followers:
        notes.wrong += [
            f"{follower.user} saw {id_} come back {times} times, more often than it was snoozed"
            for id_, times in follower.woken.items()
            if times > len(asked.get(id_, ()))
        ]
    notes.figures = {
        "snoozed": len(asked),
        "came back": sum(row.times["woken_at"] is not None for row in evidence.rows),
        "still snoozed": sum(row.times["snoozed_until"] is not None for row in evidence.rows),
    }


def _snoozes(evidence: Evidence) -> Mapping[str, Sequence[datetime]]:
    """The times until which somebody tried to snooze each id."""
    asked: defaultdict[str, list[datetime]] = defaultdict(list)
    for marking in evidence.history.markings:
        if marking.until is not None:
            for id_ in marking.ids:
                asked[id_].append(datetime.fromisoformat(marking.until))
    return asked


def _named_by(evidence: Evidence, mark: str) -> set[str]:
    return {id_ for one in evidence.history.markings if one.mark == mark for id_ in one.ids}


def _wrong_snooze(row: Row, asked: Sequence[datetime], now: datetime, *, by_hand: bool) -> Iterator[str]:
    until, woken = row.times["snoozed_until"], row.times["woken_at"]
    if until is not None and until not in asked:
        yield f"{row.id} is snoozed until {until}, which nobody asked for"
    if until is not None and until <= now and row.times["archived_at"] is None:
        yield f"{row.id} was to come back at {until}, and did not"
    if woken is not None and not by_hand and not any(time <= woken for time in asked):
        yield f"{row.id} came back at {woken}, before its time"
