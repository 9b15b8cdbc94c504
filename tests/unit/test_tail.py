"""`bellwire tail`: what passes, counted and as lines."""

import argparse
import json
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from dependency_injector import providers

from adapters.kafka import passing as adapter
from adapters.kafka.passing import KafkaPassing
from adapters.kafka.topics import Topics
from application.errors import Unavailable
from application.letters import DeadLetter, Position
from application.passing import Passed, Passing
from entrypoints.commands import tail as command
from entrypoints.commands.passing_texts import rate_cells, rates
from entrypoints.commands.tail import Watching, tail
from entrypoints.container.parts.base import build
from entrypoints.container.passing import PassingContainer
from entrypoints.settings import Settings

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def passing(**fields: Any) -> Passing:
    made: dict[str, Any] = {
        "position": Position(3, 17),
        "at": NOW,
        "kind": "new",
        "user": "ada",
        "event": "comment.created",
        "category": "comment",
        "source": "key:abc",
        "size": 200,
        "error": "",
        **fields,
    }
    return Passing(**made)


def letter(user: str = "ada") -> DeadLetter:
    return DeadLetter(
        position=Position(3, 4),
        at=NOW,
        key=None,
        value=None,
        headers=(),
        user=user,
        error_class="undecodable",
        code="malformed",
        message="the value is not JSON",
        attempt=1,
        first_failed_at=NOW,
        record=None,
    )


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    tail(parser)
    return parser.parse_args(words)


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def watch(*words: str, seen: Sequence[Any], seconds: float = 2.0) -> None:
    """Watch this pass at once, and end later."""
    clock = Clock()
    watching = Watching(parsed(*words), clock)
    watching(seen)
    clock.now += seconds
    watching([])
    watching.end()


# --- counting -----------------------------------------------------------------------------------------


def test_what_passes_is_counted_by_event_category_and_source() -> None:
    passed = Passed()
    for one in (
        passing(),
        passing(size=100, source="kafka"),
        passing(kind="retraction", event="", category=""),
    ):
        passed.add(one)
    passed.add(letter())

    assert (passed.records, passed.size, passed.dead_letters) == (3, 500, 1)
    assert passed.events == {"comment.created": 2, "retraction": 1}
    assert passed.categories == {"comment": 2, "retraction": 1}
    assert passed.sources == {"key:abc": 2, "kafka": 1}


def test_names_without_end_do_not_fill_the_memory() -> None:
    passed = Passed()
    for number in range(2_500):
        passed.add(passing(event=f"e{number}"))

    assert passed.events["others"] == 1_500
    assert len(passed.events) == 1_001


def test_rates_are_per_second() -> None:
    passed = Passed()
    for _ in range(30):
        passed.add(passing(size=2_500))

    assert {
        "records": 30,
        "bytes": 75_000,
        "records_per_second": 15.0,
        "bytes_per_second": 37_500.0,
        "events": {"comment.created": 30},
    }.items() <= rates(passed, 2.0).items()
    assert [text for text, _ in rate_cells("total", passed, 2.0)] == [
        "total ",
        "30 records in 2 s",
        "15.0 records/s",
        "37.5 kB/s",
        "events: comment.created 30",
        "categories: comment 30",
        "sources: key:abc 30",
    ]


def test_nothing_in_no_time_is_nothing() -> None:
    assert rates(Passed(), 0.0)["records_per_second"] == 0.0


def test_only_the_most_frequent_names_are_shown() -> None:
    passed = Passed()
    for number in range(5):
        for _ in range(5 - number):
            passed.add(passing(event=f"e{number}"))

    assert "events: e0 5, e1 4, e2 3, 2 more" in [text for text, _ in rate_cells("now", passed, 1.0)]


# --- lines --------------------------------------------------------------------------------------------


def test_each_record_has_its_line_and_dead_letters_too(capsys: pytest.CaptureFixture[str]) -> None:
    watch(
        seen=[passing(), passing(kind="unreadable", event="", error="malformed", user=""), letter("e\x1bve")]
    )

    first, second, third, total = (line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines())
    assert first.split() == ["new", "3:17", "comment.created", "ada", "key:abc", "200", "B"]
    assert second.split() == ["unreadable", "3:17", "malformed", "-", "key:abc", "200", "B"]
    assert third.split()[:5] == ["dead", "letter", "3:4", "malformed", "e\\x1bve"]
    assert total.startswith("2 records in 2 s  1.0 records/s")


def test_as_json_every_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    watch("--json", seen=[passing(), letter()])

    record, dead, now, total = map(json.loads, capsys.readouterr().out.splitlines())
    assert {
        "type": "record",
        "offset": 17,
        "bytes": 200,
        "user": "ada",
        "error": None,
    }.items() <= record.items()
    assert {"type": "dead-letter", "code": "malformed", "partition": 3}.items() <= dead.items()
    assert (now["type"], now["records"], now["seconds"]) == ("rates", 1, 2.0)
    assert (total["type"], total["records"], total["dead_letters"]) == ("total", 1, 1)


def test_with_rates_only_rates_and_dead_letters_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    watch("--rates", "--json", seen=[passing(), letter()])

    kinds = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
    assert kinds == ["dead-letter", "rates", "total"]


def test_only_what_is_wanted_is_shown_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    seen = [
        passing(),
        passing(user="bob"),
        passing(event="billing.due"),
        passing(event="comment.edited"),
        letter(),
        letter("bob"),
    ]

    watch("--user", "ada", "--event", "comment.*", "--json", seen=seen)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("event", line["type"]) for line in lines] == [
        "comment.created",
        "comment.edited",
        "dead-letter",
        "rates",
        "total",
    ]
    assert (lines[-1]["records"], lines[-1]["dead_letters"]) == (2, 1)


class Passage:
    """One record, then nothing for a while, then one more; between them some that cannot be read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._coming: list[Sequence[Passing] | Unavailable] = [
            [passing()],
            Unavailable("Some records cannot be read."),
            [passing(event="late")],
        ]
        self.stopped = False

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        self.stopped = True

    async def next(self, wait_seconds: float) -> Sequence[Passing]:
        self._clock.now += wait_seconds
        coming = self._coming.pop(0) if self._coming else []
        if isinstance(coming, Unavailable):
            raise coming
        return coming


async def test_it_goes_on_behind_what_cannot_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_TICK_SECONDS", 0.0)
    clock = Clock()
    passage = Passage(clock)
    container = build(PassingContainer, Settings())
    container.now.override(providers.Object(clock))
    container.passage.override(providers.Object(passage))

    assert await command._tail(container, parsed("--for", "5s")) == 0

    out, err = capsys.readouterr()
    assert [line.split()[3] for line in out.splitlines()[:2]] == ["comment.created", "late"]
    assert out.splitlines()[2].startswith("total   2 records in 5 s")
    assert err.splitlines()[1] == "bellwire: Some records cannot be read."
    assert passage.stopped


class Consumer:
    """A client of Kafka that hears nothing."""

    def __init__(self, failure: Exception | None) -> None:
        self.asked = 0
        self._failure = failure
        self._client = self

    async def getmany(self, *, timeout_ms: int) -> dict[Any, Any]:
        assert timeout_ms == 250
        return {}

    async def fetch_all_metadata(self) -> "Consumer":
        self.asked += 1
        if self._failure is not None:
            raise self._failure
        return self

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0} if topic == "t" else set()

    async def set_topics(self, topics: set[str]) -> None:
        assert topics == {"t"}

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset({TopicPartition("t", 0)})


@pytest.mark.parametrize("failure", [None, KafkaConnectionError("gone")])
async def test_silence_is_not_taken_for_a_quiet_topic(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Consumer(failure)
    passage = KafkaPassing("broker:9", Topics("t", 1, 1))
    passage._consumer = consumer

    for quiet_seconds, asked in ((1e9, 0), (0.0, 1)):
        monkeypatch.setattr(adapter, "_LOOK_EVERY_SECONDS", quiet_seconds)
        with pytest.raises(Unavailable, match="out of reach") if failure and asked else nullcontext():
            assert await passage.next(0.25) == []
        assert consumer.asked == asked
