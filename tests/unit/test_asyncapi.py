"""What the AsyncAPI document says is what the live stream does."""

import json
import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest

from common import wire
from domain.feed import MARK_LIMIT
from domain.notification import Draft
from domain.rich import Action, Rich
from domain.states import Mark
from entrypoints.commands import cli
from entrypoints.live import frames
from entrypoints.live.asyncapi import CLIENT_FRAMES, SERVER_FRAMES, document, tag
from entrypoints.live.examples import EXAMPLES
from entrypoints.live.protocol import CLOSE_CODES
from entrypoints.timing import Timing
from entrypoints.web.schemas import NotificationBody
from tests.build import ADA, a_draft, an_id, drafts
from tests.states import effect_of, time_of
from tests.stream_schema import broken_rules
from tests.wiring import Json, Service, Socket

DOCUMENT = document()
COMPONENTS = DOCUMENT["components"]
CHANNELS = DOCUMENT["channels"]
GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "live-stream.md").read_text()
SERVER_TAGS = {tag(frame) for frame in SERVER_FRAMES}
CLIENT_TAGS = {tag(frame) for frame in CLIENT_FRAMES}


# --- the document in itself ---


def nodes(node: Any = DOCUMENT) -> Iterator[Json]:
    """Every object in the document, but for examples, which are not the document's own words."""
    if isinstance(node, dict):
        yield node
        for name, inner in node.items():
            if name != "examples":
                yield from nodes(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from nodes(inner)


def resolve(reference: str) -> Any:
    found = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def said(operation: Json) -> list[tuple[str, str]]:
    """The messages of an operation, and of the reply to it, with where each is said."""
    parts = [operation, operation.get("reply", {"messages": []})]
    return [(part["channel"]["$ref"], said["$ref"]) for part in parts for said in part["messages"]]


def test_it_is_of_the_version_that_it_says() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]


def test_every_reference_leads_somewhere() -> None:
    references = {node["$ref"] for node in nodes() if "$ref" in node}

    assert len(references) > 30
    for reference in references:
        assert resolve(reference), reference


def test_an_operation_says_only_what_its_channel_carries() -> None:
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        for channel, message in said(operation):
            assert message.startswith(f"{channel}/messages/")


@pytest.mark.parametrize("name", CHANNELS)
def test_everything_that_a_channel_carries_is_said_in_an_operation(name: str) -> None:
    everything = {message for operation in DOCUMENT["operations"].values() for _, message in said(operation)}

    assert {f"#/channels/{name}/messages/{message}" for message in CHANNELS[name]["messages"]} <= everything


@pytest.mark.parametrize("name", CHANNELS)
def test_an_address_has_the_parameters_that_are_described(name: str) -> None:
    channel = CHANNELS[name]

    assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel["parameters"])


def test_a_name_is_one_word() -> None:
    kinds = ("schemas", "messages", "securitySchemes")
    names = {name for kind in kinds for name in COMPONENTS[kind]} | set(CHANNELS) | set(DOCUMENT["servers"])

    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == []


def test_every_field_is_explained() -> None:
    for name, schema in COMPONENTS["schemas"].items():
        assert schema["description"], name
        for field, described in schema["properties"].items():
            assert field == "type" or described.get("description"), f"{name}.{field}"


# --- the document and the code ---


async def deliver(service: Service, batch: list[Draft]) -> None:
    store = service.container.store()
    await store.announce(await store(batch))


class Listener:
    """Notes every frame that comes, by its type."""

    def __init__(self) -> None:
        self.heard: dict[str, list[Json]] = defaultdict(list)

    async def until(self, socket: Socket, kind: str) -> None:
        """Listen until a frame of a kind has come."""
        while True:
            frame = await socket.frame()
            self.heard[frame["type"]].append(frame)
            if frame["type"] == kind:
                return


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run(live=True) as service:
        await service.add(ADA)
        yield service


async def hear_everything(service: Service) -> dict[str, list[Json]]:
    """Have the service say every kind of frame."""
    listener = Listener()
    full: Json = {
        "title": "Title",
        "metadata": {"post": [1, {"deep": None}]},
        "action_url": "/posts/1",
        "expires_at": service.memory.clock().replace(year=2100),
    }
    rich = Rich(actions=(Action(id="approve", label="Approve"),))
    await deliver(service, [a_draft(1, **full), a_draft(2), a_draft(3, rich=rich), a_draft(4)])
    mark = service.container.mark_notifications()
    async with service.socket(headers=service.bearer()) as socket:
        await listener.until(socket, "welcome")
        await deliver(service, drafts(2, first=5))
        await listener.until(socket, "notifications")
        for kind in Mark:
            await mark(ADA, kind, [an_id(1), an_id(2)], until=time_of(kind))
            await listener.until(socket, "update")
        await deliver(service, drafts(MARK_LIMIT + 1, first=10))
        await listener.until(socket, "notifications")
        await mark(ADA, Mark.SEEN, up_to=listener.heard["notifications"][-1]["cursor"])
        await listener.until(socket, "update")
        socket.send(type="act", id=str(an_id(3)), action="approve", ref="act")
        await listener.until(socket, "ok")
        cursor = listener.heard["update"][-1]["cursor"]
        socket.send(type="read", up_to=cursor, ref="all")
        await listener.until(socket, "ok")
        socket.send(type="refresh", token=service.token(), ref=1)
        await listener.until(socket, "ok")
        for said in ("{", "x" * 5_000, '{"type": "read", "ref": 2}'):
            socket.send_text(said)
            await listener.until(socket, "error")
        service.memory.feeds.away = True
        socket.send(type="read", ids=[str(an_id(1))])
        await listener.until(socket, "error")
        service.memory.feeds.away = False
    epoch = cursor.partition(".")[0]
    for position, last in ((f"{epoch}.0", "replayed"), ("other.1", "reset"), (f"{epoch}.99999", "reset")):
        async with service.socket(headers=service.bearer(), query=f"cursor={position}") as socket:
            await listener.until(socket, last)
    async with service.socket(headers=service.bearer()) as socket:
        await listener.until(socket, "welcome")
        await service.silence(Timing().ping)
        await listener.until(socket, "ping")
        service.memory.clock.advance(hours=2)
        await deliver(service, drafts(1, first=9))
        await listener.until(socket, "bye")
    async with service.socket() as socket:
        await listener.until(socket, "bye")
    return listener.heard


async def test_every_frame_that_is_sent_is_the_one_described(service: Service) -> None:
    heard = await hear_everything(service)

    assert set(heard) == SERVER_TAGS
    for frame in (frame for kind in heard.values() for frame in kind):
        assert broken_rules(frame) == [], frame
    changes = [update["set"] for update in heard["update"]]
    assert {name for change in changes for name in change} == {effect_of(mark).field for mark in Mark}
    assert {"ids", "up_to", "action"} <= {name for update in heard["update"] for name in update}
    assert {frame.get("replay", False) for frame in heard["notifications"]} == {False, True}
    assert {frame["code"] for frame in heard["error"]} == {"bad_frame", "too_large", "refused", "unavailable"}
    assert {frame["resume"] for frame in heard["bye"]} == {True, False}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("welcome", {"more": 1}),
        ("notifications", {"items": [{"id": "x"}]}),
        ("notifications", {"cursor": None}),
        ("update", {"up_to": "e1.1"}),
        ("update", {"set": {}}),
        ("update", {"set": {"read_at": None, "archived_at": None}}),
        ("update", {"set": {"read_at": "2026-11-22T10:09:44"}}),
        ("update", {"ids": ["no id"]}),
        ("reset", {"reason": "mood"}),
        ("error", {"code": "mood"}),
        ("bye", {"code": 1000}),
        ("read", {"ids": [EXAMPLES["read"][0]["ids"][0]] * 101}),
        ("read", {"ref": []}),
    ],
)
def test_what_is_not_described_is_noticed(kind: str, wrong: Json) -> None:
    assert broken_rules(EXAMPLES[kind][0]) == []
    assert broken_rules({**EXAMPLES[kind][0], **wrong})


def test_a_notification_is_the_domains() -> None:
    assert NotificationBody.__struct_fields__ == wire.FIELDS


def test_the_client_frames_are_those_that_are_understood() -> None:
    refused = msgspec.json.encode({"type": "no such type"})
    with pytest.raises(msgspec.ValidationError, match="Invalid value"):
        frames.decode(refused)

    assert {type(frames.decode(json.dumps(EXAMPLES[name][0]))) for name in CLIENT_TAGS} == set(CLIENT_FRAMES)
    assert set(COMPONENTS["messages"]) == SERVER_TAGS | CLIENT_TAGS
    receives = [
        operation["messages"] if operation["action"] == "receive" else operation["reply"]["messages"]
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == "receive" or "reply" in operation
    ]
    names = {said["$ref"].rpartition("/")[2] for part in receives for said in part}
    assert names == CLIENT_TAGS


def test_every_example_is_right() -> None:
    assert set(EXAMPLES) == SERVER_TAGS | CLIENT_TAGS
    for name, examples in EXAMPLES.items():
        for example in examples:
            assert example["type"] == name
            assert broken_rules(example) == []
            if name in CLIENT_TAGS:
                frames.decode(json.dumps(example))


def test_every_example_of_the_guide_is_right() -> None:
    shown = re.findall(r'^\{"type".*\}$', GUIDE, re.MULTILINE)

    assert {json.loads(line)["type"] for line in shown} >= SERVER_TAGS - {"ping"}
    for line in shown:
        assert broken_rules(json.loads(line)) == [], line


def test_the_close_codes_are_those_of_the_code_and_of_the_guide() -> None:
    numbers = {name: value for name, value in vars(frames).items() if isinstance(value, int)}
    in_code = {code for name, code in numbers.items() if 4000 <= code < 5000 and not name.endswith("_BYTES")}
    listed = CHANNELS["websocket"]["x-close-codes"]

    assert in_code == set(CLOSE_CODES) == {code["code"] for code in listed}
    assert {int(code) for code in re.findall(r"^\| `(4\d{3})` \|", GUIDE, re.MULTILINE)} == in_code
    assert [code["code"] for code in listed] == sorted(in_code)
    assert all(code["resume"] is (code["code"] < 4500) for code in listed)
    for code in in_code:
        assert broken_rules({**EXAMPLES["bye"][0], "code": code}) == []


# --- where it is ---


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["asyncapi"]) == 0

    assert json.loads(capsys.readouterr().out) == DOCUMENT


async def test_it_is_served() -> None:
    async with Service.run() as service:
        answer = await service.client.get("/schema/asyncapi.json")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


async def test_the_page_shows_all_of_it() -> None:
    async with Service.run() as service:
        page = (await service.client.get("/schema/stream")).text

    for name in COMPONENTS["messages"]:
        assert f'<section id="{name}">' in page
    for schema in COMPONENTS["schemas"].values():
        for field in schema["properties"].keys() - {"type"}:
            assert f"<td>{field}" in page
    for code in CLOSE_CODES:
        assert f"<td>{code}" in page


async def test_the_page_needs_no_script_and_no_other_site() -> None:
    async with Service.run() as service:
        answer = await service.client.get("/schema/stream")
        page, policy = answer.text, answer.headers["content-security-policy"]
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        paths = {link: urljoin("/schema/stream", link) for link in links if link.startswith(".")}
        found = {link: (await service.client.get(path)).status_code for link, path in paths.items()}

    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{allowed}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script|javascript:|\son\w+=|\sstyle=|@import|url\(", page)
    assert set(found.values()) == {200}
    assert {"/schema", "/schema/asyncapi.json"} <= set(paths.values())
    for link in links:
        assert link == "data:," or link in found or f'<section id="{link.removeprefix("#")}">' in page, link


async def test_the_page_of_the_http_api_leads_to_it() -> None:
    async with Service.run() as service:
        described = (await service.client.get("/schema/openapi.json")).json()["info"]["description"]
        found = [
            (await service.client.get(urljoin("/schema/openapi.json", link))).status_code
            for link in re.findall(r"\]\((.+?)\)", described)
        ]

    assert found == [200, 200]
