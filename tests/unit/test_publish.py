"""`bellwire publish`: what the arguments say, files of many notifications, and how they are sent."""

import argparse
import asyncio
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from application.errors import ApplicationError
from bellwire_client import Bellwire, Problem, Unreachable
from bellwire_client.errors import ConnectionLost
from entrypoints.commands import publishing
from entrypoints.commands.output import Output
from entrypoints.commands.publish import _following, _is_pushed, item_of, publish
from entrypoints.commands.publishing import MOST, MOST_BYTES, Entry, Many, chunks, entries_in, published
from tests.line import Lines, in_virtual_time

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
BUSY = httpx.Response(429, json={"type": "urn:bellwire:problem:too-many-requests", "title": "Too many"})
AWAY = {"type": "urn:bellwire:problem:unconfirmed", "title": "Unconfirmed", "status": 503, "detail": "?"}
INVALID = {"type": "urn:bellwire:problem:invalid", "title": "Invalid", "status": 422, "detail": "no event"}


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    publish(parser)
    return parser.parse_args(words)


# --- arguments ----------------------------------------------------------------------------------------


def test_arguments_become_what_the_http_api_takes() -> None:
    arguments = parsed(
        *("ada", "--message", "liked your post", "--title", "Likes", "--event", "post.liked"),
        *("--category", "likes", "--severity", "success", "--actor", "Bob", "--collapse-key", "post:7"),
        *("--action", "ok=Okay", "--action", "see=See it=https://x.test/?a=b", "--action-url", "/p/7"),
        *("--icon", "heart", "--image-url", "/i.png", "--metadata", '{"n": 1}', "--expires", "2h"),
    )

    assert item_of(arguments, NOW) == {
        "user_id": "ada",
        "message": "liked your post",
        "title": "Likes",
        "event": "post.liked",
        "category": "likes",
        "severity": "success",
        "actor": {"name": "Bob"},
        "collapse_key": "post:7",
        "actions": [
            {"id": "ok", "label": "Okay"},
            {"id": "see", "label": "See it", "url": "https://x.test/?a=b"},
        ],
        "action_url": "/p/7",
        "icon": "heart",
        "image_url": "/i.png",
        "metadata": {"n": 1},
        "expires_at": "2026-11-29T14:00:00+00:00",
    }


def test_what_is_not_given_is_not_sent() -> None:
    assert item_of(parsed("ada", "--message", ""), NOW) == {"user_id": "ada", "message": ""}


@pytest.mark.parametrize(
    "words",
    [
        ["ada", "--severity", "loud"],
        ["ada", "--action", "ok"],
        ["ada", "--action", "=Okay"],
        ["ada", "--metadata", "{"],
        ["ada", "--expires", "soon"],
    ],
)
def test_a_wrong_argument_is_named(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)

    assert ended.value.code == 2
    assert f"argument {words[1]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["ada"], ["--message", "m"], ["ada", "--from", "-", "--wait"], ["ada", "--from", "nowhere.json"]],
)
def test_arguments_that_do_not_belong_together(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BELLWIRE_API_KEY", "k")
    arguments = parsed(*words)

    with pytest.raises((SystemExit, ApplicationError)):
        arguments.run(arguments)


# --- files --------------------------------------------------------------------------------------------


def read(text: str, **defaults: Any) -> list[Any]:
    entries = list(entries_in(io.BytesIO(text.encode()), defaults))
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    return [entry.text and json.loads(entry.text) for entry in entries]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}\n\n{"a": 2}\n',
        '\n  {"a": 1}\r\n{"a": 2}',
        '[{"a": 1}, {"a": 2}]',
        ' [\n{"a": 1},\n{"a": 2}\n]\n',
    ],
)
def test_items_come_from_lines_or_from_a_list(text: str) -> None:
    assert read(text) == [{"a": 1}, {"a": 2}]


def test_a_single_object_may_have_several_lines() -> None:
    assert read('{\n  "a": 1\n}\n') == [{"a": 1}]


def test_an_empty_file_has_none() -> None:
    assert read("") == read("\n\n") == read("[]") == []


def test_arguments_are_defaults_of_the_items() -> None:
    assert read('{"event": "own"}\n{}', event="given", user_id="ada") == [
        {"event": "own", "user_id": "ada"},
        {"event": "given", "user_id": "ada"},
    ]


@pytest.mark.parametrize("text", ['{"a": 1}\nnope\n{"a": 2}', '[{"a": 1}, 7, {"a": 2}]'])
def test_what_is_no_object_is_left_out_by_itself(text: str) -> None:
    assert read(text) == [{"a": 1}, None, {"a": 2}]


@pytest.mark.parametrize("text", ["nope", "[{}", '[{"a":1}] x', "\xff"])
def test_what_is_no_json_at_all_is_one_entry_without_an_object(text: str) -> None:
    assert read(text) == [None]


def test_the_first_line_may_be_the_wrong_one() -> None:
    assert read('nope\n{"a": 2}\n') == [None, {"a": 2}]


def test_numbers_in_metadata_stay_as_they_were_written() -> None:
    (entry,) = entries_in(io.BytesIO(b'{"metadata": {"n": 1.10, "m": 1e400}}'), {})

    assert entry.text == b'{"metadata":{"n": 1.10, "m": 1e400}}'


def test_a_batch_has_at_most_so_many_items_and_bytes() -> None:
    many = [Entry(number, b"{}") for number in range(2 * MOST + 1)]
    large = [Entry(number, b"x" * (MOST_BYTES // 2 - 10)) for number in range(5)]

    assert [len(chunk) for chunk in chunks(many)] == [MOST, MOST, 1]
    assert [len(chunk) for chunk in chunks(large)] == [2, 2, 1]
    assert [entry for chunk in chunks(many) for entry in chunk] == many
    assert list(chunks([])) == []


# --- sending ------------------------------------------------------------------------------------------


class Service:
    """Accepts batches, except for these answers, which come first."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self._answers:
            return self._answers.pop(0)
        items = json.loads(request.content)["items"]
        return httpx.Response(202, json={"results": [{"id": f"id-{item['n']}"} for item in items]})

    def client(self) -> Bellwire:
        return Bellwire("http://b.test", api_key="k", patience=0, transport=httpx.MockTransport(self))

    @property
    def keys(self) -> list[str]:
        return [request.headers["Idempotency-Key"] for request in self.asked]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_AGAIN_SECONDS", 0.0)


async def test_what_may_be_known_later_is_sent_again_under_the_same_key() -> None:
    unclear = httpx.Response(202, json={"results": [{"id": "id-1"}, {"error": AWAY}]})
    service = Service(BUSY, unclear)
    async with service.client() as client:
        results = await published(client, [b'{"n":1}', b'{"n":2}'], "k")

    assert results == ["id-1", "id-2"]
    assert service.keys == ["k"] * 3


async def test_what_is_never_known_is_refused_in_the_end() -> None:
    unclear = httpx.Response(202, json={"results": [{"error": AWAY}]})
    service = Service(*[unclear] * 20)
    async with service.client() as client:
        (result,) = await published(client, [b'{"n":1}'], "k")

    assert isinstance(result, Problem)
    assert (result.kind, len(service.asked)) == ("unconfirmed", 10)


async def test_a_batch_that_is_refused_is_not_sent_again() -> None:
    service = Service(httpx.Response(403, json={"type": "urn:bellwire:problem:not-allowed", "title": "No"}))
    async with service.client() as client:
        with pytest.raises(Problem, match="No"):
            await published(client, [b"{}"], "k")

    assert len(service.asked) == 1


def many(count: int) -> list[Entry]:
    return [Entry(number, json.dumps({"n": number}).encode()) for number in range(1, count + 1)]


async def send(service: Service, entries: list[Entry], *, as_json: bool = False, key: str = "mine") -> int:
    async with service.client() as client:
        return await Many(Output(as_json=as_json, terminal=False), key, lambda: 0.0)(client, entries)


async def test_many_are_sent_in_order_each_batch_under_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    service = Service()

    assert await send(service, many(MOST + 2)) == 0

    sent = [json.loads(request.content)["items"] for request in service.asked]
    assert [item["n"] for batch in sent for item in batch] == list(range(1, MOST + 3))
    assert service.keys == ["mine:0", "mine:1"]
    assert capsys.readouterr() == ("1002 published, 0 refused\n", "")


async def test_each_item_that_is_refused_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    refused = httpx.Response(202, json={"results": [{"id": "id-1"}, {"error": INVALID}]})
    entries = [Entry(1, b'{"n":1}'), Entry(2, None), Entry(3, b'{"n":3}')]

    assert await send(Service(refused), entries) == 1

    out, err = capsys.readouterr()
    assert out == "1 published, 2 refused\n"
    assert err.splitlines() == [
        "bellwire: item 2 was refused: It is not a JSON object",
        "bellwire: item 3 was refused: no event",
    ]


async def test_each_item_has_its_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    refused = httpx.Response(202, json={"results": [{"id": "id-1"}, {"error": INVALID}]})

    assert await send(Service(refused), many(2), as_json=True) == 1

    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {"item": 1, "id": "id-1", "status": "accepted"},
        {"item": 2, "status": "refused", "kind": "invalid", "detail": "no event"},
    ]
    assert err == ""


async def test_it_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    first = httpx.Response(202, json={"results": [{"id": "x"}] * MOST})
    gone = httpx.Response(401, json={"type": "urn:bellwire:problem:not-authenticated", "title": "No key"})

    with pytest.raises(Problem, match="No key"):
        await send(Service(first, gone), many(MOST + 1))

    assert capsys.readouterr().err == "bellwire: 1,000 were published, 0 refused; the rest were not sent\n"


# --- waiting ------------------------------------------------------------------------------------------


async def heard(lines: Lines) -> None:
    async with lines.stream() as stream:
        line = await lines.line()
        line.welcome()
        line.notify(1)
        line.notify(2)

        assert await _is_pushed(stream, "id-00002")
        assert not await _is_pushed(stream, "id-00003")


async def connected(lines: Lines) -> None:
    client = Bellwire("http://b.test", token="t", open_socket=lines.open)
    lines.failures = [ConnectionLost("it is away")]
    with pytest.raises(Unreachable, match="it is away"):
        async with _following(client, "ada"):
            raise AssertionError("it is not connected")

    async def welcome() -> None:
        (await lines.line()).welcome()

    welcoming = asyncio.create_task(welcome())
    async with _following(client, "ada") as stream:
        assert stream is not None
        assert stream.cursor == "e.0"
    await welcoming
    async with _following(client, None) as stream:
        assert stream is None


test_a_notification_is_pushed_once_the_stream_brings_it = in_virtual_time(heard)
test_a_stream_is_followed_once_it_is_connected = in_virtual_time(connected)
