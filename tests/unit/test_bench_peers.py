"""Adapters of systems that are not run here, against what their documents show."""

import asyncio
import json
import os

import jwt
import pytest

from bench.beside import _named
from bench.load import STAMP
from bench.peers import PEERS
from bench.peers.peer import Peer
from bench.peers.sockets import PeerSocket, masked
from bench.scenario import Named
from bench.user import User

SECRET = "a-secret-of-at-least-thirty-two-bytes"
DUE = b"1764400000000000000"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Seen:
    """Keeps the frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.welcomes = 0

    def welcome(self, payload: bytes) -> None:
        self.welcomes += 1

    def got(self, payload: bytes) -> None:
        self.frames.append(payload)

    def lost(self) -> None:
        pass


def peer(name: str) -> Peer:
    return PEERS[name]("key", SECRET)


def text(payload: bytes) -> bytes:
    return (
        b"\x81%c" % len(payload) + payload
        if len(payload) < 126
        else b"\x81\x7e" + len(payload).to_bytes(2) + payload
    )


# What each sends: to a client that has just come, a ping and its answer, and a notification.
CENTRIFUGO = (
    b'{"id":1,"connect":{"client":"9ac9de4e","version":"6.3.1","subs":{"ada":{}},"ping":25,"pong":true}}',
    (b"{}", b"{}"),
    b'{"push":{"channel":"ada","pub":{"data":{"event":"bench.done","sent":%b}}}}' % DUE,
)
NOVU = (
    b'40{"sid":"wgqYJ-Y9nSDJUBK4AAAB"}',
    (b"2", b"3"),
    b'42["notification_received",{"message":{"payload":{"message":"Build 7 has passed.","sent":%b}}}]' % DUE,
)


@pytest.mark.parametrize(("name", "script"), [("centrifugo", CENTRIFUGO), ("novu", NOVU)])
async def test_a_socket_is_opened_keeps_alive_and_counts(
    name: str, script: tuple[bytes, tuple[bytes, bytes], bytes]
) -> None:
    welcome, (ping, pong), notification = script
    seen, wire = Seen(), Wire()
    socket = PeerSocket(seen, User("ada", ""), peer(name))
    socket.connection_made(wire)
    socket.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")

    assert wire.written.pop(0).startswith(b"GET /")
    assert wire.written.pop(0) == masked(peer(name).hello("ada"))
    socket.data_received(text(welcome))
    await asyncio.wait_for(socket.welcomed, 1)
    socket.data_received(text(ping) + text(notification))

    assert (seen.welcomes, seen.frames, wire.written) == (1, [notification], [masked(pong)])


async def test_novus_first_packet_is_not_its_welcome() -> None:
    seen, wire = Seen(), Wire()
    socket = PeerSocket(seen, User("ada", ""), peer("novu"))
    socket.connection_made(wire)

    socket.data_received(
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text(b'0{"sid":"x","pingInterval":25000}')
    )

    assert not socket.welcomed.done()


def test_centrifugos_token_brings_the_users_channel() -> None:
    hello = json.loads(peer("centrifugo").hello("ada"))

    claims = jwt.decode(hello["connect"]["token"], SECRET, ["HS256"])

    assert (claims["sub"], claims["channels"]) == ("ada", ["ada"])


@pytest.mark.parametrize("name", sorted(PEERS))
def test_a_publish_is_one_request_for_one_user(name: str) -> None:
    made = peer(name).publish("ada")

    head, _, body = made.partition(b"\r\n\r\n")

    assert f"Content-Length: {len(body)}".encode() in head
    assert b'"ada"' in body
    assert json.loads(body.replace(STAMP, DUE))
    # A socket without content (Chimely's) cannot bring the time back.
    assert (STAMP in body) == (peer(name).handshake("ada") is not None)


@pytest.mark.parametrize(
    ("name", "page", "path"),
    [
        ("novu", {"data": [{"id": "66f0"}, {"id": "66f1"}]}, b"/v2/subscribers/ada/notifications/66f0/read "),
        (
            "chimely",
            {"items": [{"id": "notif_1"}, {"id": "notif_2"}]},
            b"/v1/inbox/notifications/notif_1/read ",
        ),
        ("bellwire", {"items": [{"id": "01a2"}, {"id": "01a3"}]}, b"/v1/users/ada/notifications/01a2/read "),
    ],
)
def test_each_notification_of_a_page_is_marked(name: str, page: object, path: bytes) -> None:
    marks = peer(name).marks("ada", json.dumps(page).encode())

    assert len(marks) == 2
    assert path in marks[0]


def test_what_stores_nothing_has_nothing_to_fetch() -> None:
    assert peer("centrifugo").fetch("ada") is None
    assert peer("centrifugo").marks("ada", b"") == []


@pytest.mark.parametrize("size", [0, 125, 126, 60_000])
def test_a_clients_frame_is_masked_with_zeros(size: int) -> None:
    payload = b"x" * size

    frame = masked(payload)

    assert frame.endswith(payload)
    assert frame[1] & 128
    assert len(frame) == size + (6 if size < 126 else 8)


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "https://example.org", "http://127.0.0.1"])
def test_only_a_port_of_this_machine_is_loaded(url: str) -> None:
    with pytest.raises(SystemExit, match="only a port of this machine"):
        _named(Named("centrifugo", url, "", SECRET, []))


def test_a_named_system_is_measured_where_it_runs() -> None:
    subject = _named(Named("novu", "http://127.0.0.1:3000", "key", SECRET, [os.getpid()]))

    assert (subject.name, subject.port) == ("novu", 3000)
    assert subject.spending.since().keys() == {"novu"}
