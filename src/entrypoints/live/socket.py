"""The live stream over WebSocket: `/ws/{user_id}`."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from litestar import WebSocket, get, websocket
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.types import Send

from application.errors import Limited, NotAuthenticated
from application.limits import Limits
from application.ports import Chance, Connection
from common import metrics, wire
from domain.identifiers import UserId
from entrypoints.live.closing import close_for
from entrypoints.live.frames import SUBPROTOCOL, Close
from entrypoints.live.hello import Request, check_origin, read_hello
from entrypoints.live.session import Session
from entrypoints.live.sessions import Full
from entrypoints.live.state import Streams
from entrypoints.web import limits, problems
from entrypoints.web.client import client_network
from entrypoints.web.state import part


@websocket("/ws/{user_id:str}")
async def live_socket(socket: WebSocket[Any, Any, Any], user_id: FromPath[str]) -> None:
    """Accept, so that a browser can see the reason of a refusal, then serve the session until it ends."""
    streams = part(socket, Streams)
    await socket.receive()
    try:
        part(socket, Limits).openings.take(client_network(socket.scope))
        with streams.sessions.entrance() as welcomed:
            await _serve(socket, UserId(user_id), streams, welcomed)
    except Full as full:
        await _deny(socket.send, full)
    except Limited as limited:
        limits.limited(socket.scope, limited)
        await _deny(socket.send, limited, limits.headers(socket.scope))
    finally:
        # The framework's wrappers and the socket refer to each other, which would keep the connection alive.
        del socket.receive, socket.send


@get("/ws/{user_id:str}", include_in_schema=False)
async def no_socket(user_id: FromPath[str]) -> None:  # noqa: ARG001 - the path is what matters
    """Answer plain HTTP that this path is a WebSocket (RFC 9110 §15.5.22)."""
    raise HTTPException("This path is a WebSocket.", status_code=426, headers={"Upgrade": "websocket"})


async def _serve(
    socket: WebSocket[Any, Any, Any], user: UserId, streams: Streams, welcomed: Callable[[], None]
) -> None:
    scope, sessions = socket.scope, streams.sessions
    offered = scope["subprotocols"]
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    await socket.send({"type": "websocket.accept", "headers": [], "subprotocol": chosen})
    connection = streams.connect(scope, socket.receive, socket.send)
    try:
        request = Request(scope)
        check_origin(request, streams.origins)
        hello = await read_hello(request, user, streams.authenticate)
    except Exception as error:  # noqa: BLE001 - any error closes the stream with its code
        if isinstance(error, NotAuthenticated):
            with suppress(Limited):
                limits.count_failure(scope, part(socket, Limits))
        _send_bye(connection, close_for(error), sessions.streaming.chance)
    else:
        del request
        scope["headers"] = []  # a stream may last for days, and no longer needs them
        await sessions.serve(Session(sessions.streaming, hello, connection), welcomed)


def _send_bye(connection: Connection, close: Close, chance: Chance) -> None:
    """End a connection that has no session."""
    metrics.CLOSES.labels(close.code).inc()
    connection.close(close.code, close.reason[:100], wire.text(close.bye(chance)))


async def _deny(send: Send, refusal: Full | Limited, told: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Refuse the handshake itself: it costs less than a `bye`, and load balancers see it."""
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"retry-after", str(refusal.retry_seconds).encode()),
        *told,
    ]
    problem = problems.describe(refusal)
    start: Any = {"type": "websocket.http.response.start", "status": problem["status"], "headers": headers}
    body: Any = {"type": "websocket.http.response.body", "body": wire.encode(problem)}
    await send(start)
    await send(body)
