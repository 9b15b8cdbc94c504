"""Each check, on evidence made by hand: what is right is held, what is wrong is found."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.states import STATES
from workbench.soak import checks, health_checks
from workbench.soak.evidence import Check, Evidence, Injected, Outcome, Verdict
from workbench.soak.follower import Follower
from workbench.soak.history import History, Item, Marking
from workbench.soak.stores import Record, Row
from workbench.soak.watch import Busy, Poll, Sample, waited

READ = "2026-11-22T10:09:44.743609Z"
READ_AT = datetime(2026, 11, 22, 10, 9, 44, 743609, tzinfo=UTC)
MIB = 1024 * 1024


def row(identifier: str, user: str = "ada", number: int = 0, **fields: Any) -> Row:
    version, message = fields.pop("version", 1), fields.pop("message", f"item {number}")
    times: dict[str, datetime | None] = {time: fields.pop(time, None) for time in STATES}
    return Row(identifier, user, version, message, times, **fields)


def letter(identifier: str | None, partition: int = 0, offset: int = 0) -> Record:
    headers = {"dlq-original-partition": str(partition), "dlq-original-offset": str(offset)}
    return Record(0, 0, identifier, headers)


def sent(history: History, user: str = "ada", *, key: str | None = None, **fields: Any) -> Item:
    item = history.item(user, key)
    for name, value in fields.items():
        setattr(item, name, value)
    return item


def follower(user: str = "ada") -> Follower:
    made = Follower([], user, str)
    made.take({"type": "welcome", "cursor": "e.0", "unread_count": 0})
    return made


def item(identifier: str, version: int, *, user: str = "ada", **fields: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"id": identifier, "user_id": user, "version": version, "message": "item 0"}
    return {**item, **dict.fromkeys(STATES), "category": "soak", **fields}


def notifications(prev: int, *items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    cursor = fields.pop("cursor", items[-1]["version"] if items else prev)
    places = {"prev": f"e.{prev}", "cursor": f"e.{cursor}"}
    return {"type": "notifications", "items": list(items), "unread_count": 0, **places, **fields}


def update(prev: int, cursor: int, read_at: str | None, **chosen: Any) -> dict[str, Any]:
    places = {"prev": f"e.{prev}", "cursor": f"e.{cursor}"}
    return {"type": "update", "set": {"read_at": read_at}, "unread_count": 0, **places, **chosen}


@pytest.fixture
def good() -> Evidence:
    """One notification to one user, read, and everybody agrees; one more went to nobody."""
    history = History()
    sent(history, accepted={"n1"})
    sent(history, "nobody", accepted={"n2"})
    history.markings.append(Marking("ada", "read", ("n1",), None, begun=0.0, acknowledged=True))
    ada = follower()
    ada.take(notifications(0, item("n1", 1)))
    ada.take(update(1, 2, READ, ids=["n1"]))
    return Evidence(
        history=history,
        rows=[row("n1", version=2, read_at=READ_AT, seen_at=READ_AT)],
        versions={"ada": 2},
        dead_letters=[letter("n2", 0, 1)],
        followers=[ada],
        suspects=[Record(0, 1, "n2", {})],
        left=[],
        checked={0: 2},
        samples=[Sample(float(t), "api 0", 1, 90 * MIB, 30) for t in range(60)],
        polls=[Poll(float(t), "api", "api 0", {"postgres": not 10 <= t < 30}) for t in range(60)],
        injected=[Injected("kill PostgreSQL", 9.5, 29.5, 1.0, 2.0)],
    )


def found(check: Check, evidence: Evidence, *words: str) -> None:
    verdict = check(evidence)
    assert verdict.outcome is Outcome.VIOLATED
    assert any(all(word in example for word in words) for example in verdict.examples), verdict.examples


def held(check: Check, evidence: Evidence) -> Verdict:
    verdict = check(evidence)
    assert verdict.outcome is Outcome.HELD, verdict.examples
    return verdict


def test_what_is_right_is_held(good: Evidence) -> None:
    verdicts = checks.judge(good)

    assert [each.invariant for each in verdicts] == [
        "I1",
        "I2",
        "I3",
        "I4",
        "I5",
        "I6",
        "I7",
        "I8",
        "I9",
        "I11",
        "I13",
        "I14",
        "I15",
        "I16",
        "I17",
    ]
    assert {each.invariant: each.examples for each in verdicts if each.outcome is not Outcome.HELD} == {}


# --- I1 ---


def test_a_lost_id_is_found(good: Evidence) -> None:
    found(checks.accepted_once, replace(good, rows=[]), "n1", "nowhere")


def test_a_doubled_id_is_found(good: Evidence) -> None:
    found(checks.accepted_once, replace(good, rows=[*good.rows, *good.rows]), "n1", "2 times")


def test_one_that_is_stored_and_dead_is_found(good: Evidence) -> None:
    letters = [*(good.dead_letters or ()), letter("n1", 0, 0)]
    found(checks.accepted_once, replace(good, dead_letters=letters), "n1", "dead letter")


def test_a_key_that_stands_for_two_is_found(good: Evidence) -> None:
    sent(good.history, key="k", accepted={"n3", "n4"}, begun=1.0, ended=3.0)
    rows = [*good.rows, row("n3", number=2), row("n4", number=2)]
    found(checks.accepted_once, replace(good, rows=rows), "item 2", "n3")


def test_a_key_that_redis_forgot_meanwhile_may_stand_for_two(good: Evidence) -> None:
    sent(good.history, key="k", accepted={"n3", "n4"}, begun=1.0, ended=3.0)
    rows = [*good.rows, row("n3", number=2), row("n4", number=2)]

    held(checks.accepted_once, replace(good, rows=rows, redis_forgot=[2.0]))


def test_one_whose_outcome_is_unknown_may_be_stored_or_not(good: Evidence) -> None:
    sent(good.history, uncertain=1)
    sent(good.history, uncertain=1, unknown={"n4"})
    evidence = replace(good, rows=[*good.rows, row("n4", number=3)])

    held(checks.accepted_once, evidence)
    held(checks.nothing_invented, evidence)


def test_without_the_dead_letters_nobody_can_say_what_is_lost(good: Evidence) -> None:
    verdict = checks.accepted_once(replace(good, dead_letters=None))

    assert verdict.outcome is Outcome.UNCHECKED


# --- I2 ---


def test_one_that_nobody_sent_is_found(good: Evidence) -> None:
    found(checks.nothing_invented, replace(good, rows=[*good.rows, row("n9", number=99)]), "n9", "nobody")


def test_one_that_was_sent_to_another_is_found(good: Evidence) -> None:
    found(checks.nothing_invented, replace(good, rows=[row("n1", "bob")]), "bob", "ada")


def test_one_that_was_refused_is_found(good: Evidence) -> None:
    sent(good.history, refused=1)
    found(checks.nothing_invented, replace(good, rows=[*good.rows, row("n3", number=2)]), "item 2", "refused")


def test_one_that_is_stored_under_two_ids_is_found(good: Evidence) -> None:
    rows = [*good.rows, row("n3")]
    found(checks.nothing_invented, replace(good, rows=rows), "item 0", "n3")


# --- I3 ---


def test_stores_that_disagree_are_found(good: Evidence) -> None:
    found(checks.stores_agree, replace(good, disagreements=["ada: 1 is not 2"]), "index: ada: 1 is not 2")


def test_a_feed_that_disagrees_with_its_notifications_is_found(good: Evidence) -> None:
    found(checks.stores_agree, replace(good, broken_feeds=["ada: 3 unread"]), "feed: ada: 3 unread")


def test_a_page_that_contradicts_itself_is_found(good: Evidence) -> None:
    good.history.bad_pages.append("ada: 3 items, 4 unread")
    found(checks.stores_agree, good, "3 items")


# --- I4 ---


def test_an_item_of_another_in_a_frame_is_found(good: Evidence) -> None:
    good.followers[0].take(notifications(2, item("n7", 3, user="bob")))
    found(checks.private, good, "n7", "bob")


def test_an_item_that_is_stored_as_anothers_is_found(good: Evidence) -> None:
    found(checks.private, replace(good, rows=[row("n1", "bob")]), "n1", "bob")


def test_a_request_for_anothers_things_that_is_answered_is_found(good: Evidence) -> None:
    good.history.trespasses.append("ada was answered 200 to GET /notifications/bob")
    found(checks.private, good, "200")


# --- I5 ---


def test_read_that_is_unread_in_the_end_is_found(good: Evidence) -> None:
    found(checks.read_stays_read, replace(good, rows=[row("n1", version=2)]), "n1", "unread")


def test_read_up_to_that_is_unread_in_the_end_is_found(good: Evidence) -> None:
    good.history.markings[:] = [Marking("ada", "read", (), 1, begun=0.0, acknowledged=True)]
    found(checks.read_stays_read, replace(good, rows=[row("n1", version=2)]), "n1", "unread")


def test_read_that_turns_unread_in_a_frame_is_found(good: Evidence) -> None:
    good.followers[0].take(notifications(2, item("n1", 3), replay=True))
    found(checks.read_stays_read, good, "n1", "turn unread")


def test_read_may_turn_unread_when_asked(good: Evidence) -> None:
    good.history.markings.append(Marking("ada", "unread", ("n1",), None, begun=1.0))
    good.followers[0].take(update(2, 3, None, ids=["n1"]))

    held(checks.read_stays_read, replace(good, rows=[row("n1", version=3)]))


# --- I6 ---


def test_a_frame_that_does_not_follow_is_found(good: Evidence) -> None:
    good.followers[0].take(notifications(3, item("n3", 4)))
    found(checks.streams_are_whole, replace(good, versions={"ada": 4}), "e.3 does not follow e.2")


def test_a_frame_that_leaves_a_version_out_is_found(good: Evidence) -> None:
    good.followers[0].take(notifications(2, item("n3", 4)))
    found(checks.streams_are_whole, good, "from 2 to 4", "[4]")


def test_a_replay_may_leave_versions_out_but_not_turn_back(good: Evidence) -> None:
    good.followers[0].take(notifications(2, item("n1", 5, read_at=READ, seen_at=READ), replay=True))
    held(checks.streams_are_whole, replace(good, versions={"ada": 5}))

    good.followers[0].take(notifications(5, item("n3", 7), item("n4", 6), cursor=7, replay=True))
    found(checks.streams_are_whole, good, "[7, 6]")


def test_a_notification_that_never_came_is_found(good: Evidence) -> None:
    found(checks.streams_are_whole, replace(good, rows=[*good.rows, row("n3")]), "never received n3")


def test_another_state_than_is_stored_is_found(good: Evidence) -> None:
    found(checks.streams_are_whole, replace(good, rows=[row("n1", version=2)]), "n1", "stored is")


def test_a_follower_that_is_behind_is_found(good: Evidence) -> None:
    found(checks.streams_are_whole, replace(good, versions={"ada": 3}), "ada is at 2")


def test_a_position_that_was_lost_is_found(good: Evidence) -> None:
    good.followers[0].take({"type": "reset", "cursor": "e.2", "unread_count": 0, "reason": "future"})
    found(checks.streams_are_whole, good, "future")


def test_a_follower_knows_what_an_update_up_to_a_position_means() -> None:
    ada = follower()
    ada.take(notifications(0, item("n1", 1), item("n2", 2, read_at=READ), item("n3", 3)))
    ada.take(update(3, 4, "2026-11-22T11:00:00Z", up_to="e.2"))

    read = {identifier: state["read_at"] for identifier, state in ada.items.items()}
    assert read == {"n1": "2026-11-22T11:00:00Z", "n2": READ, "n3": None}
    assert not ada.holes


# --- I7 ---


def test_an_offset_past_a_record_that_is_nowhere_is_found(good: Evidence) -> None:
    suspects = [*good.suspects, Record(3, 333, "n8", {})]
    found(checks.offsets_are_honest, replace(good, suspects=suspects), "partition 3", "333", "n8")


def test_a_record_that_is_never_committed_is_found(good: Evidence) -> None:
    found(checks.offsets_are_honest, replace(good, left=[Record(2, 5, "n1", {})]), "partition 2", "never")


def test_without_kafka_the_offsets_are_not_checked(good: Evidence) -> None:
    assert checks.offsets_are_honest(replace(good, left=None)).outcome is Outcome.UNCHECKED


# --- I8 ---


def test_growing_memory_is_found(good: Evidence) -> None:
    samples = [Sample(float(t), "api 0", 1, (90 + t) * MIB, 30) for t in range(120)]
    found(health_checks.resources_return, replace(good, samples=samples), "api 0 grew")


def test_a_process_that_was_started_again_is_another(good: Evidence) -> None:
    samples = [Sample(float(t), "api 0", 1 + t // 60, (20 + t) * MIB, 30) for t in range(80)]

    held(health_checks.resources_return, replace(good, samples=samples))


def test_descriptors_that_stay_open_are_found(good: Evidence) -> None:
    samples = [Sample(float(t), "api 0", 1, 90 * MIB, 30 + 3 * t) for t in range(60)]
    found(health_checks.resources_return, replace(good, samples=samples), "descriptors")


@pytest.mark.parametrize(
    ("gauge", "words"),
    [("bellwire_tasks", "90 tasks more"), ("bellwire_postgres_connections_in_use", "connections")],
)
def test_tasks_and_connections_that_stay_are_found(good: Evidence, gauge: str, words: str) -> None:
    before, after = {"api": {gauge: 10.0}}, {"api 0": {gauge: 100.0}}
    found(health_checks.resources_return, replace(good, gauges_before=before, gauges_after=after), words)


# --- I9, I11 ---


def polls(*away: range) -> list[Poll]:
    return [
        Poll(float(t), "api", "api 0", {"postgres": not any(t in span for span in away)}) for t in range(60)
    ]


def test_a_failure_that_is_never_told_is_found(good: Evidence) -> None:
    found(health_checks.health_is_true, replace(good, polls=polls()), "unavailable: never")


def test_a_failure_that_is_told_late_is_found(good: Evidence) -> None:
    found(
        health_checks.health_is_true, replace(good, polls=polls(range(24, 30))), "unavailable: after 14.5 s"
    )


def test_a_short_failure_need_not_be_told(good: Evidence) -> None:
    evidence = replace(good, polls=polls(), injected=[Injected("kill PostgreSQL", 9.5, 15.0, 1.0, 2.0)])

    held(health_checks.health_is_true, evidence)


def test_who_had_left_need_not_tell(good: Evidence) -> None:
    """A second consumer, which was there for a while, and comes again later."""
    visits = [poll for poll in polls() if not 4 < poll.t < 50]

    held(health_checks.health_is_true, replace(good, polls=visits))


def test_a_return_that_is_told_late_is_found(good: Evidence) -> None:
    found(
        health_checks.health_is_true,
        replace(good, polls=polls(range(10, 50))),
        "available again: after 20.5 s",
    )


def test_alarms_in_quiet_times_are_found(good: Evidence) -> None:
    found(
        health_checks.health_is_true,
        replace(good, polls=polls(range(10, 30), range(50, 55))),
        "quiet",
        "5 times",
    )


def held_partitions(*away: range) -> list[Poll]:
    """What a consumer says whose partitions stand still now and then."""
    return [
        Poll(
            float(t),
            "consumer",
            "consumer 0",
            {"kafka": True, "partitions": not any(t in span for span in away)},
        )
        for t in range(60)
    ]


DAMAGED = [Injected("damaged records from Kafka", 9.5, 19.5, 1.0, 2.0)]


def test_partitions_may_stand_still_while_records_are_damaged_and_right_after(good: Evidence) -> None:
    evidence = replace(good, polls=held_partitions(range(11, 14), range(16, 29)), injected=DAMAGED)

    held(health_checks.health_is_true, evidence)


def test_a_partition_that_stands_still_for_long_after_damage_is_found(good: Evidence) -> None:
    evidence = replace(good, polls=held_partitions(range(11, 40)), injected=DAMAGED)

    found(health_checks.health_is_true, evidence, "consumer 0", "partitions", "10 times")


def test_a_partition_may_stand_still_until_everything_works_again(good: Evidence) -> None:
    slow = [replace(DAMAGED[0], ready_after=25.0)]

    held(health_checks.health_is_true, replace(good, polls=held_partitions(range(11, 45)), injected=slow))


def test_a_consumer_that_is_slow_to_start_again_has_no_partition_yet(good: Evidence) -> None:
    """On a busy machine: it answers late, and what it says is true."""
    starting = [Poll(float(t), "consumer", "consumer 0", {"kafka": t >= 38}) for t in range(35, 60)]
    evidence = replace(good, polls=starting, injected=[Injected("kill consumer", 15.0, 20.0, 17.5, 24.0)])

    held(health_checks.health_is_true, evidence)


def test_a_partition_that_stands_still_for_ever_is_found(good: Evidence) -> None:
    for_ever = [Injected("damaged records from Kafka", -49.5, -39.5, None, None)]
    evidence = replace(good, polls=held_partitions(range(60)), injected=for_ever)

    found(health_checks.health_is_true, evidence, "consumer 0", "partitions", "39 times")
    found(health_checks.recovers, evidence, "ready again never")


def test_a_partition_that_stands_still_before_anything_was_damaged_is_found(good: Evidence) -> None:
    evidence = replace(good, polls=held_partitions(range(2, 8)), injected=DAMAGED)

    found(health_checks.health_is_true, evidence, "consumer 0", "partitions", "6 times")


@pytest.mark.parametrize(
    ("fault", "role", "server"),
    [
        ("read-only PostgreSQL", "api", "postgres"),
        ("read-only PostgreSQL", "consumer", "postgres"),
        ("demoted Redis", "api", "redis"),
        ("demoted Redis", "consumer", "redis"),
        ("demoted Redis that does not serve stale data", "api", "redis"),
        ("demoted Redis that does not serve stale data", "consumer", "redis"),
    ],
)
def test_a_server_that_is_there_and_of_no_use_has_to_be_told_of(
    good: Evidence, fault: str, role: str, server: str
) -> None:
    injected = [Injected(fault, 9.5, 29.5, 1.0, 2.0)]
    silent = [Poll(float(t), role, f"{role} 0", {server: True}) for t in range(60)]
    honest = [replace(poll, checks={server: not 10 <= poll.t < 30}) for poll in silent]

    found(
        health_checks.health_is_true,
        replace(good, polls=silent, injected=injected),
        server,
        "unavailable: never",
    )
    held(health_checks.health_is_true, replace(good, polls=honest, injected=injected))


@pytest.mark.parametrize("fault", ["Redis closes idle connections", "damaged records from Kafka"])
def test_what_a_service_can_do_without_need_not_be_told_of(good: Evidence, fault: str) -> None:
    polls = [Poll(float(t), "api", "api 0", {"redis": True, "kafka": True}) for t in range(60)]
    injected = [Injected(fault, 9.5, 29.5, 1.0, 2.0)]

    held(health_checks.health_is_true, replace(good, polls=polls, injected=injected))


@pytest.mark.parametrize(
    ("took", "words"), [((1.0, None), "delivered again never"), ((75.0, 2.0), "ready again after 75.0 s")]
)
def test_a_recovery_that_takes_too_long_is_found(
    good: Evidence, took: tuple[float | None, float | None], words: str
) -> None:
    found(
        health_checks.recovers, replace(good, injected=[Injected("kill PostgreSQL", 1.0, 2.0, *took)]), words
    )


# --- a machine that is too busy ---


def test_what_is_late_on_a_machine_that_is_too_busy_is_excused(good: Evidence) -> None:
    slow = replace(good.injected[0], delivered_after=65.0)
    late = [Poll(float(t), "api", "api 0", {"postgres": not 10 <= t < 50}) for t in range(60)]
    evidence = replace(good, injected=[slow], polls=late)
    found(health_checks.recovers, evidence, "delivered", "65.0 s")
    found(health_checks.health_is_true, evidence, "available again", "20.5 s")

    busy = replace(evidence, busy=[Busy(30.0, 40.0)])
    held(health_checks.recovers, busy)
    held(health_checks.health_is_true, busy)
    elsewhere = replace(evidence, busy=[Busy(0.0, 9.0), Busy(95.0, 200.0)])
    found(health_checks.recovers, elsewhere, "delivered")
    found(health_checks.health_is_true, elsewhere, "available again")


def test_alarms_of_a_machine_that_is_too_busy_are_excused(good: Evidence) -> None:
    alarms = replace(good.polls[0], checks={"postgres": False})
    evidence = replace(good, polls=[*good.polls, *(replace(alarms, t=52.0 + t) for t in range(4))])
    found(health_checks.health_is_true, evidence, "quiet times")
    found(health_checks.health_is_true, replace(evidence, busy=[Busy(44.0, 47.0)]), "quiet times")
    held(health_checks.health_is_true, replace(evidence, busy=[Busy(47.0, 60.0)]))


def test_a_recovery_that_was_never_seen_is_judged_if_the_machine_had_time_for_it(good: Evidence) -> None:
    never = replace(good, injected=[replace(good.injected[0], delivered_after=None)])
    found(health_checks.recovers, replace(never, busy=[Busy(30.0, 50.0)]), "delivered again never")
    verdict = health_checks.recovers(replace(never, busy=[Busy(30.0, 80.0)]))
    assert verdict.outcome is Outcome.UNCHECKED
    assert verdict.examples == (
        ["the machine was too busy to tell whether it recovers from “kill PostgreSQL” (10 s)"]
    )


def test_how_long_a_process_waited_for_a_processor_is_known() -> None:
    assert waited(os.getpid()) >= 0.0
    assert waited(2**30) == 0.0
