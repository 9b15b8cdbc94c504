"""Handshakes of WebSockets: those that are answered without the library, as it would answer them."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Response
from websockets.server import ServerProtocol

from adapters.websocket.handshake import Handshake, acceptance, as_read, offered, plain_proof
from tests.sockets import HANDSHAKE, Socket

Headers = list[tuple[bytes, bytes]]
CHROME: Headers = [
    (b"host", b"bellwire.test"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"origin", b"https://bellwire.test"),
    (b"sec-websocket-version", b"13"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"sec-websocket-key", b"x3JJHMbDL1EzLkh9GBhXDw=="),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    (b"sec-websocket-protocol", b"bellwire.v1, other"),
]
FIREFOX: Headers = [
    (b"upgrade", b"WebSocket"),
    (b"sec-websocket-key", b"x3JJHMbDL1EzLkh9GBhXDw=="),
    (b"sec-websocket-version", b"13"),
    (b"connection", b"keep-alive, Upgrade"),
]


def judged(headers: Headers) -> Response:
    """What the library says."""
    return ServerProtocol(extensions=[]).accept(as_read(Handshake(b"/ws/ada", b"cursor=a.1", headers)))


@pytest.mark.parametrize("headers", [HANDSHAKE, CHROME, FIREFOX], ids=["small", "Chrome", "Firefox"])
def test_what_clients_send_is_plain(headers: Headers) -> None:
    """The key and its proof are those of RFC 6455 §1.3 in the small one."""
    proof = plain_proof(headers)

    assert proof is not None
    assert proof.decode() == judged(headers).headers["Sec-WebSocket-Accept"]


def test_the_proof_is_that_of_rfc_6455() -> None:
    assert plain_proof(HANDSHAKE) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


_NAMES = [name for name, _ in CHROME]
_KEYS = [b"x3JJHMbDL1EzLkh9GBhXDw==", b"x3JJHMbDL1EzLkh9GBhXD===", b"x3JJHMbDL1EzLkh9GBhXDwAA", b"short"]
_LISTS = [b"Upgrade", b"upgrade, close", b"keep-alive, Upgrade", b"websocket", b"websocket, h2c", b"h2c"]
_VALUES = st.sampled_from([b"", b"13", b"8", *_KEYS, *_LISTS, b"a,b", b"a, b", b",", b"a b", b"\xe9"])
_CHANGES: st.SearchStrategy[list[Callable[[Headers], Headers]]] = st.lists(
    st.one_of(
        st.builds(lambda at: lambda headers: headers[:at] + headers[at + 1 :], st.integers(0, 8)),
        st.builds(
            lambda name, value: lambda headers: [*headers, (name, value)], st.sampled_from(_NAMES), _VALUES
        ),
        st.builds(
            lambda name, value: (
                lambda headers: [(one, value if one == name else old) for one, old in headers]
            ),
            st.sampled_from(_NAMES),
            _VALUES,
        ),
    ),
    max_size=3,
)


@given(st.sampled_from([CHROME, FIREFOX]), _CHANGES)
def test_what_is_plain_the_library_would_accept_with_the_same_proof(headers: Headers, changes: Any) -> None:
    for change in changes:
        headers = change(headers)
    proof = plain_proof(headers)

    if proof is not None:
        response = judged(headers)
        assert response.status_code == 101
        assert response.headers["Sec-WebSocket-Accept"] == proof.decode()


@pytest.mark.parametrize(
    ("connection", "status"), [(b"Upgrade,keep-alive", 101), (b"upgrade , x", 101), (b"close", 426)]
)
async def test_what_is_not_plain_the_library_judges(connection: bytes, status: int) -> None:
    changed = [(name, connection if name == b"connection" else value) for name, value in HANDSHAKE]
    assert plain_proof(changed) is None
    socket = Socket(headers=changed)
    socket.protocol.start()
    if status == 101:
        await socket.accept(keep=True)

    assert socket.line.written.startswith(b"HTTP/1.1 %d " % status)
    assert (b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in socket.line.written) == (status == 101)
    await socket.end()


def test_the_subprotocols_are_those_of_all_headers() -> None:
    more = [(b"sec-websocket-protocol", b"a,b"), (b"x", b"y"), (b"sec-websocket-protocol", b" c ")]

    assert offered(more) == ["a", "b", "c"]
    assert offered(HANDSHAKE) == []


def test_the_answer_names_the_subprotocol_that_was_chosen() -> None:
    plain = acceptance(b"proof", [(b"date", b"today")], None)
    chosen = acceptance(b"proof", [], "bellwire.v1")

    assert plain == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: proof\r\ndate: today\r\n\r\n"
    )
    assert chosen.endswith(b"Sec-WebSocket-Accept: proof\r\nSec-WebSocket-Protocol: bellwire.v1\r\n\r\n")


async def test_a_quiet_socket_has_no_parser() -> None:
    socket = Socket()
    await socket.accept()

    assert "conn" not in vars(socket.protocol)
    await socket.end()
