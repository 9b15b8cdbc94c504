"""Dead letters: their headers, which are chosen, what a replay does with them, and how they look."""

import argparse
import asyncio
import io
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from dependency_injector import providers

from adapters import clock as system
from adapters.kafka import headers
from adapters.kafka.dead_letter_box import letter_of
from adapters.kafka.dead_letters import KafkaDeadLetters
from application.dead_letters import (
    ListDeadLetters,
    Pace,
    Plan,
    ReplayDeadLetters,
    Selection,
    Skip,
)
from application.errors import Unavailable
from application.letters import DeadLetter, Position
from application.printing import printable
from entrypoints.commands import cli, dead_letters
from entrypoints.commands.dead_letters import moment, position, rate
from entrypoints.commands.letter_texts import Summary, cells, details, entry, summary_cells, whole_entry
from entrypoints.commands.output import Output
from entrypoints.settings import Settings
from tests.build import NOW, a_letter
from tests.memory import MemoryAudit, MemoryDeadLetterBox
from tests.whole import build

REASONS = {headers.ERROR_CODE: "malformed", headers.ERROR_MESSAGE: "no JSON"}


def ignored(_done: int, _total: int) -> None:
    return


@dataclass
class Record:
    """What Kafka hands over."""

    headers: tuple[tuple[str, bytes | None], ...] = ()
    topic: str = "topic"
    partition: int = 1
    offset: int = 7
    timestamp: int = 5
    key: bytes | None = None
    value: bytes | None = b"value"


def again(letter: headers.Headers, **place: Any) -> Record:
    """The record that is replayed from a letter."""
    return Record(tuple(headers.of_replay(letter)), **place)


# --- headers ---


@pytest.mark.parametrize("timestamp", [-(2**63), -1, 2**63 - 1])
def test_a_letter_of_any_timestamp_can_be_looked_at(timestamp: int) -> None:
    """Anybody who may write to the topic chooses it."""
    letter = letter_of(Record(timestamp=timestamp))

    assert cells(letter)
    assert "\n".join(details(letter))


def test_a_first_letter_says_where_the_record_was_and_keeps_its_headers() -> None:
    own = (("trace", b"\x00\xff"), ("twice", b"1"), ("twice", b"2"), ("none", None), ("dlq-of-others", b"x"))

    made = headers.of_letter(Record(own), NOW, REASONS)

    assert tuple(made[:5]) == own
    assert dict(made[5:]) == {
        "dlq-original-topic": b"topic",
        "dlq-original-partition": b"1",
        "dlq-original-offset": b"7",
        "dlq-original-timestamp": b"5",
        "dlq-attempt": b"1",
        "dlq-first-failed-at": b"2026-03-14T09:26:53.589793+00:00",
        "dlq-error-code": b"malformed",
        "dlq-error-message": b"no JSON",
    }


def test_what_goes_back_has_its_own_headers_and_where_it_was() -> None:
    letter = headers.of_letter(Record((("trace", b"t"),)), NOW, {**REASONS, headers.VERSION: "1"})

    assert [name for name, _ in headers.of_replay(letter)] == [
        "trace",
        "dlq-original-topic",
        "dlq-original-partition",
        "dlq-original-offset",
        "dlq-original-timestamp",
        "dlq-attempt",
        "dlq-first-failed-at",
    ]


def test_one_that_fails_again_has_one_more_attempt_and_nothing_twice() -> None:
    letter = headers.of_letter(Record((("trace", b"t"),)), NOW, REASONS)
    for attempt in (2, 3):
        failed = again(letter, partition=2, offset=99, timestamp=88)
        letter = headers.of_letter(failed, NOW + timedelta(days=attempt), REASONS)

        names = [name for name, _ in letter]
        assert len(names) == len(set(names))
        told = dict(letter)
        assert told["dlq-attempt"] == str(attempt).encode()
        assert told["dlq-first-failed-at"] == b"2026-03-14T09:26:53.589793+00:00"
        assert (told["dlq-original-partition"], told["dlq-original-offset"]) == (b"1", b"7")
        assert told["dlq-original-timestamp"] == b"5"
        assert told["trace"] == b"t"


@pytest.mark.parametrize("attempt", [b"0", b"-1", b"", b"1e9", b"2147483648", b"9" * 5_000, b"\xff", None])
@pytest.mark.parametrize(
    "failed_at", [b"yesterday", b"2026-03-14T09:26:53", b"\xff", b"", None, b"0001-01-01T00:00:00+14:00"]
)
def test_attempts_and_times_that_make_no_sense_start_anew(
    attempt: bytes | None, failed_at: bytes | None
) -> None:
    letter = dict(headers.of_letter(Record(), NOW, REASONS))
    letter |= {"dlq-attempt": attempt, "dlq-first-failed-at": failed_at}

    told = dict(headers.of_letter(again(tuple(letter.items())), NOW, REASONS))

    assert told["dlq-attempt"] == b"2"
    assert told["dlq-first-failed-at"] == b"2026-03-14T09:26:53.589793+00:00"


def test_where_another_topics_letter_was_is_not_where_this_record_was() -> None:
    letter = headers.of_letter(Record(topic="other"), NOW, REASONS)

    told = dict(headers.of_letter(again(letter, offset=99), NOW, REASONS))

    assert (told["dlq-original-topic"], told["dlq-original-offset"]) == (b"topic", b"99")
    assert told["dlq-attempt"] == b"1"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("malformed", "undecodable"),
        ("invalid", "undecodable"),
        ("tombstone", "undecodable"),
        ("unknown-user", "unknown-user"),
        ("22P05", "refused"),
        ("54000", "refused"),
    ],
)
def test_every_code_is_of_a_class(code: str, kind: str) -> None:
    assert headers.error_class(code) == kind


class Full:
    """A producer whose topic takes nothing so large."""

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    async def send(self, *_: object, **__: object) -> "asyncio.Future[object]":
        refused: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        refused.set_exception(MessageSizeTooLargeError())
        return refused


async def test_a_record_too_large_for_the_topic_says_which_limit_to_raise() -> None:
    letters = KafkaDeadLetters("nowhere", "topic.dlq", "group", "1", system.now)
    letters._producer = Full()

    with pytest.raises(Unavailable) as caught:
        await letters.put([(Record(), "invalid", "")])

    assert "max.message.bytes" in caught.value.detail


# --- choosing ---


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        ({}, True),
        ({"errors": frozenset({"22P05"})}, True),
        ({"errors": frozenset({"refused", "malformed"})}, True),
        ({"errors": frozenset({"undecodable"})}, False),
        ({"since": NOW}, True),
        ({"since": NOW + timedelta(microseconds=1)}, False),
        ({"until": NOW}, False),
        ({"until": NOW + timedelta(microseconds=1)}, True),
        ({"partition": 3}, True),
        ({"partition": 0}, False),
        ({"positions": frozenset({Position(3, 17), Position(0, 0)})}, True),
        ({"positions": frozenset({Position(17, 3)})}, False),
        ({"errors": frozenset({"refused"}), "partition": 0}, False),
    ],
)
def test_a_selection_takes_what_passes_every_filter(filters: dict[str, Any], chosen: bool) -> None:
    letter = a_letter("3:17", code="22P05", error_class="refused")

    assert Selection(**filters).takes(letter) is chosen


@pytest.fixture
def box() -> MemoryDeadLetterBox:
    return MemoryDeadLetterBox()


async def listed(box: MemoryDeadLetterBox, **filters: Any) -> list[str]:
    listing = ListDeadLetters(box=box)(Selection(**filters), ignored)
    return [str(letter.position) async for letter in listing]


async def test_letters_come_by_partition_and_offset(box: MemoryDeadLetterBox) -> None:
    box.held = [a_letter(place) for place in ("1:5", "0:9", "1:4")]

    assert await listed(box) == ["0:9", "1:4", "1:5"]
    assert await listed(box, partition=1) == ["1:4", "1:5"]
    assert await listed(box, limit=2) == ["0:9", "1:4"]


# --- replaying ---


async def planned(box: MemoryDeadLetterBox, max_attempts: int = 5, **filters: Any) -> dict[str, Skip | None]:
    plan = await ReplayDeadLetters(box=box).plan(Selection(**filters), max_attempts, ignored)
    return {str(place): skip for place, skip in plan.steps.items()}


async def test_doubles_of_a_record_are_replayed_once(box: MemoryDeadLetterBox) -> None:
    same = ("topic", 0, 7)
    box.held = [a_letter("0:1", record=same), a_letter("0:2", record=same), a_letter("0:3")]

    assert await planned(box) == {"0:1": Skip.SUPERSEDED, "0:2": None, "0:3": None}


async def test_only_the_last_failure_of_a_record_counts_wherever_its_letter_lies(
    box: MemoryDeadLetterBox,
) -> None:
    same = ("topic", 0, 7)
    box.held = [
        a_letter("2:1", record=same, attempt=6),
        a_letter("0:9", record=same, attempt=5, at=NOW + timedelta(days=1)),
    ]

    assert await planned(box) == {"0:9": Skip.SUPERSEDED, "2:1": Skip.EXHAUSTED}
    # Not even when it alone is asked for: a failure must not be forgotten by choosing an older letter.
    assert await planned(box, positions=frozenset({Position(0, 9)})) == {"0:9": Skip.SUPERSEDED}


@pytest.mark.parametrize(("attempt", "skip"), [(1, None), (3, None), (4, Skip.EXHAUSTED)])
async def test_what_failed_too_often_is_left_alone(
    box: MemoryDeadLetterBox, attempt: int, skip: Skip | None
) -> None:
    box.held = [a_letter("0:1", attempt=attempt)]

    assert await planned(box, max_attempts=3) == {"0:1": skip}


async def test_what_cannot_go_back_is_left_alone(box: MemoryDeadLetterBox) -> None:
    box.held = [
        a_letter("0:1", value=None),
        a_letter("0:2", record=None),
        a_letter("0:3", record=("__consumer_offsets", 0, 3)),
        a_letter("0:4", value=b""),
    ]

    assert await planned(box) == {
        "0:1": Skip.EMPTY,
        "0:2": Skip.FOREIGN,
        "0:3": Skip.FOREIGN,
        "0:4": None,
    }


async def test_a_limit_counts_what_is_replayed(box: MemoryDeadLetterBox) -> None:
    box.held = [a_letter("0:1", value=None), a_letter("0:2"), a_letter("0:3"), a_letter("0:4")]

    assert await planned(box, limit=2) == {"0:1": Skip.EMPTY, "0:2": None, "0:3": None}


async def test_a_plan_is_replayed_in_order_and_nothing_else(box: MemoryDeadLetterBox) -> None:
    box.held = [a_letter(place) for place in ("1:5", "0:9", "1:4", "2:2")]
    plan = Plan({Position(1, 4): None, Position(0, 9): None, Position(1, 5): Skip.EMPTY})

    told = [letter.position async for letter in ReplayDeadLetters(box=box)(plan)]

    assert told == box.replayed == [Position(0, 9), Position(1, 4)]


async def test_a_reader_that_stops_asking_stops_it(box: MemoryDeadLetterBox) -> None:
    box.held = [a_letter("0:1"), a_letter("0:2")]
    plan = Plan({Position(0, 1): None, Position(0, 2): None})

    going: AsyncGenerator[DeadLetter, None] = ReplayDeadLetters(box=box)(plan)
    await anext(going)
    await going.aclose()

    assert box.replayed == [Position(0, 1)]


async def test_a_letter_that_is_gone_by_then_ends_nothing(box: MemoryDeadLetterBox) -> None:
    box.held = [a_letter("0:2")]
    plan = Plan({Position(0, 1): None, Position(0, 2): None})

    assert [letter.position async for letter in ReplayDeadLetters(box=box)(plan)] == [Position(0, 2)]


# --- the pace ---


def test_a_pace_spreads_them_evenly() -> None:
    now = 100.0
    pace = Pace(4, lambda: now)

    starts = []
    for _ in range(8):
        starts.append(now)
        now += 0.05  # each takes a while
        now += pace.pause()

    assert starts == pytest.approx([100 + n / 4 for n in range(8)])


def test_what_came_late_is_not_made_up_for() -> None:
    now = 0.0
    pace = Pace(10, lambda: now)
    now = 5.0
    assert pace.pause() == 0

    assert pace.pause() == pytest.approx(0.1)


# --- the arguments ---


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T12:00:00+02:00", datetime(2026, 11, 22, 10, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_moment_or_an_age(text: str, meant: datetime | timedelta) -> None:
    assert moment(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "h",
        "-2h",
        "2 h",
        "2y",
        "٢h",
        "1.5h",
        "9999999d",
        "999999w",
        "5219w",
        "36526d",
        "2026-01-01T24:00:00Z",
        "2026-11-22T10:00:00",
        "now",
    ],
)
def test_other_words_are_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        moment(text)


def test_a_position_is_a_partition_and_an_offset() -> None:
    assert position("3:17") == Position(3, 17)


@pytest.mark.parametrize(
    "text", ["", "3", "3:", ":17", "3:17:1", "-3:17", "3:-1", "a:b", "٣:17", "3:" + "9" * 5_000]
)
def test_other_words_are_no_position(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        position(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", "1e9", ""])
def test_a_rate_is_above_nothing(text: str) -> None:
    assert rate("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError):
        rate(text)


def parsed(*words: str) -> argparse.Namespace:
    return cli.parser().parse_args(["dlq", *words])


def test_filters_are_meant_as_of_now() -> None:
    arguments = parsed(
        "replay", "3:17", "3:18", "--error", "22P05", "--error", "invalid", "--since", "2h", "--until",
        "2026-03-14T09:00:00Z", "--partition", "3", "--limit", "10",
    )  # fmt: skip

    assert dead_letters.selection(arguments, NOW) == Selection(
        errors=frozenset({"22P05", "invalid"}),
        since=NOW - timedelta(hours=2),
        until=datetime(2026, 3, 14, 9, tzinfo=UTC),
        partition=3,
        positions=frozenset({Position(3, 17), Position(3, 18)}),
        limit=10,
    )


def test_no_filter_means_everything() -> None:
    assert dead_letters.selection(parsed("list"), NOW) == Selection()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bury"],
        ["show"],
        ["show", "3"],
        ["list", "--since", "soon"],
        ["list", "--limit", "0"],
        ["list", "--partition", "-1"],
        ["replay", "3-17"],
        ["replay", "--rate", "0"],
        ["replay", "--max-attempts", "none"],
    ],
)
def test_wrong_words_end_with_2_and_say_why(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["dlq", *words])

    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_wrong_setting_ends_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BELLWIRE_KAFKA_PARTITIONS", "many")

    assert cli.main(["dlq", "list"]) == 2
    assert "BELLWIRE_KAFKA_PARTITIONS" in capsys.readouterr().err


# --- asking, and where it stood ---


class Terminal(io.StringIO):
    """Somebody at a keyboard."""

    def isatty(self) -> bool:
        return True


async def replay(box: MemoryDeadLetterBox, *words: str, audit: MemoryAudit | None = None) -> int:
    container = build(Settings())
    container.dead_letter_box.override(providers.Object(box))
    container.write_entry.override(providers.Object((audit or MemoryAudit()).add))
    arguments = parsed("replay", "--rate", "1000", *words)
    return int(await arguments.work(container, arguments))


@pytest.mark.parametrize(
    ("answer", "replayed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
async def test_somebody_at_a_terminal_is_asked(
    box: MemoryDeadLetterBox,
    answer: str,
    replayed: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    box.held = [a_letter("0:1"), a_letter("0:2")]

    assert await replay(box) == (0 if replayed else 1)

    assert len(box.replayed) == (2 if replayed else 0)
    assert "Replay 2 to topic, up to 1000/s? [y/N]" in capsys.readouterr().err


@pytest.mark.parametrize("stdin", [Terminal("n\n"), io.StringIO()])
async def test_a_script_says_yes(
    box: MemoryDeadLetterBox, stdin: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    box.held = [a_letter("0:1")]

    assert await replay(box, "--yes") == 0
    assert box.replayed == [Position(0, 1)]


async def test_without_a_terminal_and_without_a_yes_nothing_is_replayed(
    box: MemoryDeadLetterBox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    box.held = [a_letter("0:1")]

    assert await replay(box) == 1

    assert box.replayed == []
    assert capsys.readouterr().err == "bellwire: nothing was replayed; confirm with --yes\n"


async def test_a_replay_says_as_json_what_it_did(
    box: MemoryDeadLetterBox, capsys: pytest.CaptureFixture[str]
) -> None:
    box.held = [a_letter("0:1"), a_letter("0:2")]

    await replay(box, "--dry-run", "--json")
    await replay(box, "--yes", "--json")

    *steps, done = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert steps == [{"position": place, "left_alone": None} for place in ("0:1", "0:2")]
    assert done == {"replayed": 2, "selected": 2}


async def test_where_nothing_is_to_be_done_nobody_is_asked(
    box: MemoryDeadLetterBox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))

    assert await replay(box) == 0
    assert capsys.readouterr().err == "bellwire: 0 of 0 replayed\n"


async def test_a_replay_is_recorded_or_not_begun(box: MemoryDeadLetterBox) -> None:
    box.held = [a_letter("0:1")]
    audit = MemoryAudit()
    audit.away = True
    with pytest.raises(Unavailable):
        await replay(box, "--yes", audit=audit)
    assert box.replayed == []

    audit.away = False
    await replay(box, "--yes", audit=audit)
    (entry,) = audit.entries
    assert (entry.action, entry.detail) == ("letters.replayed", {"letters": len(box.replayed)})
    assert box.replayed


async def test_a_replay_that_fails_says_where_it_stood(
    box: MemoryDeadLetterBox, capsys: pytest.CaptureFixture[str]
) -> None:
    box.held = [a_letter("0:1"), a_letter("0:2"), a_letter("0:3")]
    box.takes = 2

    with pytest.raises(Unavailable):
        await replay(box, "--yes")

    assert capsys.readouterr().err == "bellwire: 2 of 3 replayed; the last was 0:2\n"


# --- how letters look ---

EVIL = "\x1b[2J\r\n\x00\x9b31m\u202e\ud800"


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    assert printable(EVIL) == r"\x1b[2J\r\n\x00\x9b31m\u202e\ud800"
    assert printable("Grüße, 你好 🎉") == "Grüße, 你好 🎉"


def printed(letter: DeadLetter, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> str:
    Output(as_json=as_json).row(cells(letter), entry(letter))
    return capsys.readouterr().out.removesuffix("\n")


def test_a_letter_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    letter = a_letter("3:17", code="unknown-user", attempt=2)

    assert printed(letter, capsys).split() == [
        "3:17", "2026-03-14T09:26:53Z", "unknown-user", "ada", "2", "there", "is", "no", "such", "user",
    ]  # fmt: skip


def test_a_hostile_letter_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    letter = a_letter(user=EVIL, message=EVIL, code=EVIL)

    assert printed(letter, capsys).isprintable()
    text = printed(letter, capsys, as_json=True)
    assert text.isascii()
    assert json.loads(text)["user"] == EVIL


def test_a_letter_as_json_says_where_the_record_was() -> None:
    told = entry(a_letter("3:17", record=("t", 1, 2)))

    assert (told["partition"], told["offset"]) == (3, 17)
    assert (told["original_topic"], told["original_partition"], told["original_offset"]) == ("t", 1, 2)
    assert entry(a_letter(record=None))["original_topic"] is None


def test_a_whole_letter_as_json_is_its_bytes_as_text() -> None:
    told = whole_entry(replace(a_letter(headers=(("a", None), ("b", b"\xff")), value=b'{"c":1}'), key=None))

    assert (told["key"], told["headers"], told["value"]) == (None, [["a", None], ["b", "\ufffd"]], '{"c":1}')


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"a":1,"a":[2]}', ["{", '  "a": 1,', '  "a": [', "    2", "  ]", "}"]),
        (b"no JSON\n\x1b[2J", [r"no JSON\n\x1b[2J"]),
        (b'{"a": "\xff', [r"""b'{"a": "\xff'"""]),
        (b'"\xff"', [r"""b'"\xff"'"""]),
        (b"", [""]),
        (b"[" * 100_000, ["[" * 100_000]),
        ('"\x9b\u202e"'.encode(), [r'"\x9b\u202e"']),
        (None, []),
    ],
)
def test_a_value_is_shown_as_what_it_is(value: bytes | None, shown: list[str]) -> None:
    lines = list(details(a_letter(value=value)))

    heading = "value    none" if value is None else f"value    {len(value):,} bytes"
    assert lines[lines.index(heading) + 1 :] == shown


def test_all_headers_and_the_key_are_shown() -> None:
    own = (("trace\x1b", b"\xff"), ("none", None), ("dlq-attempt", b"1"))

    lines = list(details(replace(a_letter(headers=own), key=None)))

    assert "key      none" in lines
    assert [text for text in lines if text.startswith("  ")][:3] == [
        r"  trace\x1b: b'\xff'",
        "  none: none",
        "  dlq-attempt: 1",
    ]


def test_a_summary_counts_by_code_the_most_frequent_first() -> None:
    summary = Summary()
    for letter in (
        a_letter(code="invalid", error_class="undecodable"),
        a_letter(at=NOW + timedelta(hours=1)),
        a_letter(),
    ):
        summary.add(letter)

    assert list(summary.entries()) == [
        {
            "letters": 2,
            "code": "unknown-user",
            "error_class": "unknown-user",
            "first": "2026-03-14T09:26:53Z",
            "last": "2026-03-14T10:26:53Z",
        },
        {
            "letters": 1,
            "code": "invalid",
            "error_class": "undecodable",
            "first": "2026-03-14T09:26:53Z",
            "last": "2026-03-14T09:26:53Z",
        },
    ]
    assert [
        [cell.strip() for cell in summary_cells(counted)[:2] if isinstance(cell, str)]
        for counted in summary.entries()
    ] == [["2", "unknown-user"], ["1", "invalid"]]
