"""The checks of what users expect of a bell: what is right is held, and damage of each kind is found."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.states import STATES
from workbench.soak import bell_checks, checks, contents
from workbench.soak.evidence import Check, Evidence, Outcome
from workbench.soak.follower import Follower
from workbench.soak.history import Chosen, History, Item, Marking
from workbench.soak.readers import wrong_with
from workbench.soak.stores import Feed, Record, Row, Withheld

AT = "2026-11-22T10:09:44.743609Z"
LATER = "2026-11-22T10:10:00Z"
TIME = datetime(2026, 11, 22, 10, 9, 44, 743609, tzinfo=UTC)
LASTING = "unread:0"
"""A key of which nothing is ever retracted."""


def row(identifier: str, version: int, message: str = "item 0", **fields: Any) -> Row:
    times: dict[str, datetime | None] = {time: fields.pop(time, None) for time in STATES}
    return Row(identifier, "ada", version, message, times, **fields)


def item(identifier: str, version: int, message: str = "item 0", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": identifier, "user_id": "ada", "version": version, "message": message}
    return {**made, **dict.fromkeys(STATES), "category": "comment", **fields}


def counts(unread: int, unseen: int, **unread_in: int) -> dict[str, Any]:
    return {"unread_count": unread, "unseen_count": unseen, "unread_in": unread_in}


def frame(prev: int, items: list[dict[str, Any]], told: dict[str, Any], **fields: Any) -> dict[str, Any]:
    places = {"prev": f"e.{prev}", "cursor": f"e.{max(item['version'] for item in items)}"}
    return {"type": "notifications", "items": items, **places, **told, **fields}


def update(prev: int, told: dict[str, Any], **fields: Any) -> dict[str, Any]:
    places = {"prev": f"e.{prev}", "cursor": f"e.{prev + 1}"}
    return {"type": "update", "ids": [], "set": {}, **places, **told, **fields}


def follower(*frames: dict[str, Any]) -> Follower:
    made = Follower([], "ada", str)
    made.take({"type": "welcome", "cursor": "e.0", **counts(0, 0), "preferences_version": 0})
    for each in frames:
        made.take(each)
    return made


def sent(history: History, *ids: str, **fields: Any) -> Item:
    made = history.item("ada", None)
    made.accepted = frozenset(ids)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def good() -> Evidence:
    """One that was edited and answered, one that collapsed with an earlier one, one that was not wanted, and
    everybody agrees.
    """
    history = History()
    sent(history, "n1", category="comment", revisions={1: True, 2: False})
    sent(history, "n2", category="comment", collapse_key=LASTING)
    sent(history, "n3", category="comment", collapse_key=LASTING)
    sent(history, "n4", category="billing")
    sent(history, "n5", category="billing")
    history.markings.append(Marking("ada", "acted", ("n1",), None, 0.0, acknowledged=True, action="approve"))
    history.switched_off.add(("ada", "billing"))
    history.chosen.append(Chosen("ada", 7, 7, {"billing": False}))
    edit = {"message": "item 0, revision 1", "edited_at": AT}
    ada = follower(
        frame(0, [item("n1", 1), item("n2", 2, "item 1"), item("n4", 3, "item 3", category="billing")],
              counts(3, 3, billing=1, comment=2)),
        frame(3, [item("n1", 4, **edit)], counts(3, 3, billing=1, comment=2), changed=True),
        update(4, counts(2, 2, billing=1, comment=1), ids=["n2"], set={"retracted_at": AT}),
        frame(5, [item("n3", 6, "item 2", count=2)], counts(3, 3, billing=1, comment=2)),
        update(6, counts(3, 3, billing=1, comment=2), preferences={"billing": False}),
        update(7, counts(2, 2, billing=1, comment=1), ids=["n1"], set={"acted_at": AT}, action="approve"),
    )  # fmt: skip
    times = {"acted_at": TIME, "read_at": TIME, "seen_at": TIME}
    return Evidence(
        history=history,
        rows=[
            row("n1", 8, "item 0, revision 1", revision=1, edited=True, action="approve", **times),
            row("n2", 5, "item 1", collapse_key=LASTING, retracted_at=TIME),
            row("n3", 6, "item 2", collapse_key=LASTING, stands_for=2, category="comment"),
            row("n4", 3, "item 3", category="billing"),
        ],
        withheld=[Withheld("n5", "ada", "preference", "billing")],
        feeds=[Feed("ada", 8, 7, {"billing": False})],
        versions={"ada": 8},
        dead_letters=[],
        left=[],
        followers=[ada],
    )


CHECKED = (
    checks.accepted_once,
    checks.nothing_invented,
    checks.read_stays_read,
    checks.streams_are_whole,
    bell_checks.counts_are_exact,
    bell_checks.collapsed_into_one,
    bell_checks.highest_revision_stands,
    bell_checks.preferences_hold,
    bell_checks.snoozed_comes_back,
)


@pytest.mark.parametrize("check", CHECKED, ids=lambda check: check.__name__)
def test_what_is_right_is_held(good: Evidence, check: Check) -> None:
    verdict = check(good)

    assert verdict.outcome is Outcome.HELD, verdict.examples


Damage = Callable[[Evidence], Evidence]


def without(*ids: str) -> Damage:
    return lambda good: replace(good, rows=[each for each in good.rows if each.id not in ids])


def changed(identifier: str, **fields: Any) -> Damage:
    """Change a row."""

    def damage(good: Evidence) -> Evidence:
        times: dict[str, Any] = {name: fields[name] for name in fields if name in STATES}
        more = {name: value for name, value in fields.items() if name not in STATES}
        return replace(
            good,
            rows=[
                each._replace(times={**each.times, **times}, **more) if each.id == identifier else each
                for each in good.rows
            ],
        )

    return damage


def more_withheld(*withheld: Withheld) -> Damage:
    return lambda good: replace(good, withheld=[*good.withheld, *withheld])


def more_rows(*rows: Row) -> Damage:
    return lambda good: replace(good, rows=[*good.rows, *rows])


def told(*frames: dict[str, Any]) -> Damage:
    """Send the follower more."""

    def damage(good: Evidence) -> Evidence:
        for each in frames:
            good.followers[0].take(each)
        return good

    return damage


def in_history(change: Callable[[History], Any]) -> Damage:
    def damage(good: Evidence) -> Evidence:
        change(good.history)
        return good

    return damage


def marked(mark: str, *ids: str, **fields: Any) -> Damage:
    marking = Marking("ada", mark, ids, None, 1.0, acknowledged=True, **fields)
    return in_history(lambda history: history.markings.append(marking))


def ended(at: datetime) -> Damage:
    return lambda good: replace(good, ended_at=at)


def nth(number: int, **fields: Any) -> Damage:
    """Change what the history has of an item."""

    def change(history: History) -> None:
        for name, value in fields.items():
            setattr(history.items[f"item {number}"], name, value)

    return in_history(change)


def both(*damages: Damage) -> Damage:
    def damage(good: Evidence) -> Evidence:
        for each in damages:
            good = each(good)
        return good

    return damage


SAME = counts(2, 2, billing=1, comment=1)
DAMAGE: dict[str, tuple[Check, Damage, str]] = {
    "lost, and not withheld": (
        checks.accepted_once, lambda good: replace(good, withheld=[]), "n5 (item 4) was accepted and is no"
    ),
    "stored and withheld": (
        checks.accepted_once, more_withheld(Withheld("n4", "ada", "preference", None)), "n4 is stored and wi"
    ),
    "withheld and a dead letter": (
        checks.accepted_once,
        lambda good: replace(
            good,
            dead_letters=[Record(0, 0, "n5", {"dlq-original-partition": "0", "dlq-original-offset": "0"})],
        ),
        "n5 is withheld and a dead letter",
    ),
    "withheld, and sent by nobody": (
        checks.nothing_invented, more_withheld(Withheld("n9", "ada", "preference", None)), "nobody sent"
    ),
    "withheld from another": (
        checks.nothing_invented, more_withheld(Withheld("n5", "bob", "preference", None)), "from bob"
    ),
    "acted on and unread": (checks.read_stays_read, changed("n1", read_at=None), "n1 was marked read"),
    "seen and unseen": (checks.read_stays_read, marked("seen", "n4"), "n4 was marked seen and is unseen"),
    "seen turns unseen in a frame": (
        checks.read_stays_read,
        told(
            update(8, counts(2, 1, billing=1, comment=1), ids=["n4"], set={"seen_at": AT}),
            frame(9, [item("n4", 10, "item 3", category="billing")], SAME, changed=True),
        ),
        "n4 turn unseen",
    ),
    "answered twice": (checks.read_stays_read, marked("acted", "n1", action="decline"), "was answered with"),
    "another answer is stored": (checks.read_stays_read, changed("n1", action="decline"), "stored is decli"),
    "another text is stored": (checks.streams_are_whole, changed("n4", message="item 3, revision 7"), "n4"),
    "another count is stored": (checks.streams_are_whole, changed("n3", stands_for=3), "for n3"),
    "a revision turns back": (
        checks.streams_are_whole, told(frame(8, [item("n1", 9)], SAME, changed=True)), "became 'item 0'"
    ),
    "retracted and back": (
        checks.streams_are_whole, told(frame(8, [item("n2", 9)], SAME, replay=True)), "n2 was retracted"
    ),
    "new again": (checks.streams_are_whole, told(frame(8, [item("n4", 9)], SAME)), "n4 was known and new"),
    "changed before it was new": (
        checks.streams_are_whole, told(frame(8, [item("n7", 9)], SAME, changed=True)), "n7 was changed"
    ),
    "a replay ends behind a notification": (
        checks.streams_are_whole,
        told({"type": "replayed", "cursor": "e.9", **SAME, "preferences_version": 7}),
        "ended at e.9",
    ),
    "a category forgotten on unarchive": (
        bell_checks.counts_are_exact,
        told(
            update(8, counts(1, 1, comment=1), ids=["n4"], set={"archived_at": AT}),
            update(9, counts(2, 1, comment=1), ids=["n4"], set={"archived_at": None}),
        ),
        "does not add up",
    ),
    "a frame with another count": (
        bell_checks.counts_are_exact,
        told(frame(8, [item("n7", 9)], counts(3, 2, billing=1, comment=2))),
        "told (3, 2,",
    ),
    "more unseen than unread": (
        bell_checks.counts_are_exact,
        told({"type": "replayed", "cursor": "e.8", **counts(1, 2, comment=1), "preferences_version": 7}),
        "2 unseen of 1 unread",
    ),
    "a feed with another count": (
        bell_checks.counts_are_exact, lambda good: replace(good, miscounted_feeds=["ada: 1"]), "feed: ada"
    ),
    "a page with another count than a frame": (
        bell_checks.counts_are_exact,
        in_history(lambda history: history.bad_counts.append("ada at e.8: told 3")),
        "ada at e.8: told 3",
    ),
    "two of one key": (
        bell_checks.collapsed_into_one, changed("n2", retracted_at=None), f"ada has {LASTING} 2 times"
    ),
    "an elided one that is counted twice": (
        bell_checks.collapsed_into_one, changed("n3", stands_for=3), "counted are 3, 2 to 2 arrived"
    ),
    "one that collapsed and is not counted": (
        bell_checks.collapsed_into_one, changed("n3", stands_for=1), "counted are 1"
    ),
    "a lower revision that wins": (
        bell_checks.highest_revision_stands, changed("n1", revision=0, message="item 0"), "accepted was 1"
    ),
    "a revision that nobody sent": (
        bell_checks.highest_revision_stands,
        changed("n1", revision=5, message="item 0, revision 5"),
        "n1 has revision 5",
    ),
    "the text of another revision": (
        bell_checks.highest_revision_stands, changed("n1", message="item 0"), "with the text 'item 0'"
    ),
    "retracted and shown": (
        bell_checks.highest_revision_stands, nth(0, retracted=True), "n1 (item 0) was retracted and is shown"
    ),
    "unwanted and stored": (
        bell_checks.preferences_hold,
        both(told(frame(8, [item("n5", 9, "item 4", category="billing")], SAME)),
             more_rows(row("n5", 12, "item 4", category="billing", read_at=TIME)),
             lambda good: replace(good, feeds=[Feed("ada", 12, 7, {"billing": False})])),
        "n5 (billing) was stored at 9, unwanted from 7 to 12",
    ),
    "unwanted and stored, as an answer tells": (
        bell_checks.preferences_hold,
        in_history(lambda history: history.chosen.append(Chosen("ada", 2, 4, {"billing": False}))),
        "n4 (billing) was stored at 3, unwanted from 2 to 4",
    ),
    "off by default and stored": (
        bell_checks.preferences_hold,
        more_rows(row("n9", 8, "item 9", category=contents.UNASKED)),
        "n9 (digest) was stored at 8",
    ),
    "wanted and withheld": (
        bell_checks.preferences_hold, in_history(lambda history: history.switched_off.clear()), "n5 (billing)"
    ),
    "mandatory and withheld": (bell_checks.preferences_hold, nth(4, category=contents.MANDATORY), "reason"),
    "a mandatory category that was switched off": (
        bell_checks.preferences_hold,
        in_history(lambda history: history.bad_choices.append("ada switched off security")),
        "ada switched off",
    ),
    "expired without an expiry": (
        bell_checks.preferences_hold,
        lambda good: replace(good, withheld=[Withheld("n5", "ada", "expired", None)]),
        "without a reason: expired",
    ),
    "retracted by nobody": (
        bell_checks.preferences_hold,
        lambda good: replace(good, withheld=[Withheld("n5", "ada", "retracted", None)]),
        "without a reason: retracted",
    ),
    "superseded without a key": (
        bell_checks.preferences_hold,
        lambda good: replace(good, withheld=[Withheld("n5", "ada", "superseded", None)]),
        "without a reason: superseded",
    ),
    "arrived expired and stored": (
        bell_checks.preferences_hold, nth(3, arrives_expired=True), "n4 had expired when it arrived"
    ),
    "edited after it had expired, and not brought back": (
        bell_checks.preferences_hold,
        both(nth(4, arrives_expired=True, revisions={1: True}),
             lambda good: replace(good, withheld=[Withheld("n5", "ada", "expired", None)])),
        "without a reason: expired",
    ),
    "expired and shown": (
        bell_checks.preferences_hold, changed("n4", category=contents.BRIEF), "n4 (brief) has expired and is"
    ),
    "a choice that no device was told": (
        bell_checks.preferences_hold,
        lambda good: replace(good, feeds=[Feed("ada", 8, 8, {"billing": False})]),
        "knows the choices of 7",
    ),
    "another choice than was told": (
        bell_checks.preferences_hold,
        lambda good: replace(good, feeds=[Feed("ada", 8, 7, {"comment": False})]),
        "was told of",
    ),
    "snoozed, and nobody asked": (
        bell_checks.snoozed_comes_back, changed("n4", snoozed_until=TIME), "n4 is snoozed until"
    ),
    "snoozed, and not back": (
        bell_checks.snoozed_comes_back,
        both(marked("snoozed", "n4", until=AT), changed("n4", snoozed_until=TIME), ended(TIME)),
        "n4 was to come back at",
    ),
    "back before its time": (
        bell_checks.snoozed_comes_back,
        both(marked("snoozed", "n4", until=LATER), changed("n4", woken_at=TIME)),
        "n4 came back at 2026-11-22 10:09:44.743609+00:00, before its time",
    ),
    "back, and was not away": (bell_checks.snoozed_comes_back, changed("n4", woken_at=TIME), "n4 came back"),
    "back twice": (
        bell_checks.snoozed_comes_back,
        both(marked("snoozed", "n4", until=AT),
             told(update(8, SAME, ids=["n4"], set={"woken_at": AT}),
                  update(9, SAME, ids=["n4"], set={"woken_at": LATER}))),
        "ada saw n4 come back 2 times, more often",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(good: Evidence, damage: str) -> None:
    check, plant, words = DAMAGE[damage]

    verdict = check(plant(good))

    assert verdict.outcome is Outcome.VIOLATED
    assert any(words in example for example in verdict.examples), verdict.examples


ALLOWED: dict[str, tuple[Check, Damage]] = {
    "an edit may make it unread and unseen, and ask again": (
        checks.read_stays_read,
        both(nth(0, reopened=True), marked("acted", "n1", action="decline"), changed("n1", read_at=None)),
    ),
    "a mark does nothing to what was retracted": (checks.read_stays_read, marked("read", "n2")),
    "what was made unread again may be beside another one": (
        bell_checks.collapsed_into_one, both(marked("unread", "n2"), changed("n2", retracted_at=None),
                                             changed("n3", stands_for=1))
    ),
    "a revision with an unknown outcome may stand": (
        bell_checks.highest_revision_stands, changed("n1", revision=2, message="item 0, revision 2")
    ),
    "edits do nothing to what was retracted": (
        bell_checks.highest_revision_stands, changed("n1", revision=0, message="item 0", retracted_at=TIME)
    ),
    "an edit may show what had expired": (bell_checks.preferences_hold, nth(0, arrives_expired=True)),
    "an edit with an unknown outcome need not": (
        bell_checks.preferences_hold,
        both(nth(4, arrives_expired=True, revisions={1: False}),
             lambda good: replace(good, withheld=[Withheld("n5", "ada", "expired", None)])),
    ),
    "mandatory ones are stored whatever was chosen": (
        bell_checks.preferences_hold,
        both(more_rows(row("n9", 8, "item 9", category=contents.MANDATORY)),
             in_history(lambda history: history.chosen.append(Chosen("ada", 7, 9, {"security": False})))),
    ),
    "what was stored before the choice stays": (
        bell_checks.preferences_hold,
        in_history(lambda history: history.chosen.append(Chosen("ada", 3, 4, {"billing": False}))),
    ),
    "one with an unknown outcome and no id may be withheld": (
        checks.nothing_invented,
        both(in_history(lambda history: sent(history, uncertain=1)),
             more_withheld(Withheld("n9", "ada", "preference", None))),
    ),
    "what was read comes back unread after it was snoozed": (
        checks.read_stays_read, both(marked("read", "n4"), marked("snoozed", "n4", until=AT))
    ),
    "what is archived meanwhile does not come back": (
        bell_checks.snoozed_comes_back,
        both(marked("snoozed", "n4", until=AT), ended(TIME),
             changed("n4", snoozed_until=TIME, archived_at=TIME)),
    ),
    "the user may have it back early": (
        bell_checks.snoozed_comes_back,
        both(marked("snoozed", "n4", until=LATER), marked("woken", "n4"), changed("n4", woken_at=TIME)),
    ),
    "what is snoozed for longer than the run stays away": (
        bell_checks.snoozed_comes_back,
        both(marked("snoozed", "n4", until=LATER), ended(TIME),
             changed("n4", snoozed_until=datetime.fromisoformat(LATER))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_what_is_allowed_is_held(good: Evidence, case: str) -> None:
    check, change = ALLOWED[case]

    verdict = check(change(good))

    assert verdict.outcome is Outcome.HELD, verdict.examples


def test_a_replay_may_end_with_choices(good: Evidence) -> None:
    ada = good.followers[0]
    ada.take({"type": "replayed", "cursor": "e.10", **SAME, "preferences_version": 10})

    assert (ada.cursor, ada.preferences_version, ada.missed_choices, ada.holes) == ("e.10", 10, True, [])


def test_a_page_or_an_answer_is_compared_at_its_position_alone(good: Evidence) -> None:
    ada, wrong = good.followers[0], counts(5, 0, comment=5)

    assert ada.disagreement({**SAME, "cursor": "e.8"}) == ""
    assert ada.disagreement({**wrong, "cursor": "e.9"}) == ""
    assert ada.disagreement({**wrong, "cursor": "e.8"}).startswith("told (5, 0")
    ada.take(frame(8, [item("n4", 9, "item 3", category="billing")], SAME, replay=True))
    assert ada.disagreement({**wrong, "cursor": "e.9"}) == ""
    ada.take({"type": "replayed", "cursor": "e.9", **SAME, "preferences_version": 7})
    assert ada.disagreement({**wrong, "cursor": "e.9"}).startswith("told (5, 0")


def test_a_follower_counts_what_an_update_implies() -> None:
    ada = follower(
        frame(0, [item("n1", 1), item("n2", 2), item("n3", 3)], counts(3, 3, comment=3)),
        update(3, counts(3, 2, comment=3), ids=["n1"], set={"seen_at": AT}),
        {**update(4, counts(2, 1, comment=2)), "ids": ["n2"], "set": {"archived_at": AT}},
        update(5, counts(3, 1, comment=3), ids=["n2"], set={"archived_at": None}),
        {
            **{name: value for name, value in update(6, counts(0, 0)).items() if name != "ids"},
            "up_to": "e.6",
            "set": {"read_at": AT},
            "cursor": "e.9",
        },
    )

    assert ada.miscounted == []
    assert {id_: known["seen_at"] is not None for id_, known in ada.items.items()} == dict.fromkeys(
        ("n1", "n2", "n3"), True
    )


def test_a_follower_counts_what_is_snoozed_and_comes_back() -> None:
    ada = follower(
        frame(0, [item("n1", 1), item("n2", 2)], counts(2, 2, comment=2)),
        update(2, counts(1, 1, comment=1), ids=["n1"], set={"read_at": AT}),
        update(3, counts(0, 0), ids=["n2"], set={"snoozed_until": LATER}),
        update(4, counts(0, 0), ids=["n1"], set={"snoozed_until": LATER}),
        update(5, counts(1, 1, comment=1), ids=["n1"], set={"woken_at": LATER}),
        update(6, counts(2, 2, comment=2), ids=["n2"], set={"woken_at": LATER}),
    )

    assert ada.miscounted == []
    assert ada.woken == {"n1": 1, "n2": 1}


async def test_an_answer_to_what_was_given_up_is_nobodys() -> None:
    ada = follower()
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    ada._answers["ada-0"] = given_up

    for ref in ("ada-0", "ada-1", None):
        ada.take({"type": "ok", "ref": ref, "changed": 1})

    assert given_up.cancelled()


# --- pages ---


def page(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": None, "cursor": "e.9", **fields}


@pytest.mark.parametrize(
    ("made", "limit", "categories", "words"),
    [
        (page(item("n2", 2), item("n1", 1), **counts(2, 2, comment=2)), 20, (), ""),
        (page(item("n2", 2), next_cursor="n2", **counts(2, 2, comment=2)), 1, (), ""),
        (page(item("n2", 2), **counts(5, 0, billing=4, comment=1)), 20, ("comment",), ""),
        (page(item("n2", 2), **counts(2, 2, comment=2)), 20, (), "1 items, 2 unread"),
        (page(item("n1", 1), item("n2", 2), **counts(2, 2, comment=2)), 20, (), "2 items"),
        (page(item("n2", 2), **counts(1, 1, billing=1)), 20, (), "told (1, 1, {'billing': 1})"),
        (page(item("n2", 2), **counts(1, 0, comment=1)), 20, (), "told (1, 0"),
        (page(item("n2", 2), **counts(1, 2, comment=1)), 20, (), "2 unseen of 1"),
        (page(item("n2", 2), **counts(1, 1, comment=1, billing=0)), 20, (), "does not add up"),
        (page(item("n2", 2), **counts(2, 0, billing=2)), 20, ("comment",), "1 items, 0 unread"),
        (page(item("n2", 2), **counts(2, 0, billing=1, build=1)), 20, ("billing",), "{'comment': 1} of"),
    ],
)
def test_a_page_that_contradicts_itself_is_found(
    made: dict[str, Any], limit: int, categories: tuple[str, ...], words: str
) -> None:
    found = wrong_with(made, limit, categories)

    assert words in found
    assert bool(words) == bool(found)


# --- what is sent ---


def test_a_body_is_the_same_whenever_it_is_sent() -> None:
    chance = random.Random(1)
    for number in range(200):
        made = Item(number, "ada")
        contents.draw(made, chance, TIME)

        assert contents.body(made, 3) == contents.body(made, 3)
        assert contents.revision_of(contents.body(made, 3)["message"]) == (made.message, 3)
        assert contents.revision_of(contents.body(made)["message"]) == (made.message, 0)
        if made.collapse_key is not None:
            assert made.expires_at is None
            assert contents.body(made)["collapse"] in {"unread", "always"}
