"""The connection of a stream; the only module that uses websockets."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from bellwire_client.errors import ConnectionLost, StreamRefused
from bellwire_client.proxies import may_proxy

_SUBPROTOCOL = Subprotocol("bellwire.v1")
_OPEN_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
# Responses of a proxy that ask to try again: RFC 9110, RFC 6585, RFC 8470.
_TRY_AGAIN = frozenset({408, 425, 429})


class Socket(Protocol):
    """A connection that carries text. Both methods raise ConnectionLost, or StreamRefused if the close code
    says not to reconnect.
    """

    async def receive(self) -> str: ...

    async def send(self, text: str) -> None: ...


Open: TypeAlias = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[Socket]]
"""Opens a connection to a URL, with headers. Raises as a Socket does."""


@asynccontextmanager
async def open_socket(url: str, headers: Mapping[str, str]) -> AsyncIterator[Socket]:
    """Open a WebSocket, and close it at the end, within a second."""
    connecting = connect(
        url,
        additional_headers=headers,
        subprotocols=[_SUBPROTOCOL],
        compression=None,
        open_timeout=_OPEN_SECONDS,
        close_timeout=_CLOSE_SECONDS,
        ping_interval=None,  # the service pings with frames of its own
        proxy=True if may_proxy(url) else None,
        max_size=None,  # the frame of a large batch or a replay has several megabytes
    )
    try:
        connection = await connecting
    except InvalidStatus as refusal:
        raise _refusal(refusal.response.status_code) from None
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ConnectionLost(str(error) or type(error).__name__) from error
    try:
        yield _WebSocket(connection)
    finally:
        await connection.close()


class _WebSocket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> str:
        try:
            return await self._connection.recv(decode=True)
        except ConnectionClosed as closed:
            raise _closing(closed) from None

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as closed:
            raise _closing(closed) from None


def ended(code: int, reason: str, *, retry_after: float = 0.0) -> ConnectionLost | StreamRefused:
    """The error that a close code stands for."""
    if 4500 <= code <= 4999:
        return StreamRefused(code, reason)
    return ConnectionLost(reason or f"closed with {code}", code, retry_after=retry_after)


def _closing(closed: ConnectionClosed) -> ConnectionLost | StreamRefused:
    if closed.rcvd is None:
        return ConnectionLost("the connection broke")
    return ended(closed.rcvd.code, closed.rcvd.reason)


def _refusal(status: int) -> ConnectionLost | StreamRefused:
    """The error that an HTTP status instead of a socket stands for."""
    reason = f"HTTP status {status} instead of a socket"
    if 400 <= status <= 499 and status not in _TRY_AGAIN:
        return StreamRefused(status, reason)
    return ConnectionLost(reason)
