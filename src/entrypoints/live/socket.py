"""The live socket: `/ws/{user_id}`."""

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath

from adapters import metrics, wire
from application.errors import NotAuthenticated, Unavailable
from application.ports import Lagging
from domain.errors import DomainError, Invalid, UnknownUser
from domain.feed import Cursor
from domain.identifiers import UserId
from entrypoints.http.guards import bearer_token
from entrypoints.live.frames import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    INVALID_TOKEN,
    SLOW_READER,
    SUBPROTOCOL,
    Close,
)
from entrypoints.live.session import SEND_SECONDS, Hello, Session, Streaming

logger = logging.getLogger(__name__)


@websocket("/ws/{user_id:str}")
async def live_socket(socket: WebSocket[Any, Any, Any], user_id: FromPath[str]) -> None:
    """Accept, so that a browser can see the reason of a refusal, then serve the session until it ends."""
    streaming: Streaming = socket.app.state.streaming
    offered = socket.scope.get("subprotocols") or []
    await socket.accept(subprotocols=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        hello = await _hello(socket, UserId(user_id), streaming)
        await Session(socket, streaming, hello).run()
    except WebSocketDisconnect:
        return
    except Close as close:
        await _say_bye(socket, close)
    except (Unavailable, Lagging, DomainError) as error:
        await _say_bye(socket, _closing(error))
    except Exception:
        logger.exception("a live session failed")
        await _say_bye(socket, Close(INTERNAL, "internal error"))


async def _hello(socket: WebSocket[Any, Any, Any], user: UserId, streaming: Streaming) -> Hello:
    _check_origin(socket, streaming.origins)
    query = socket.query_params
    try:
        if "ticket" in query:
            claims = await streaming.authenticate.ticket(query["ticket"])
        else:
            claims = streaming.authenticate.token(bearer_token(socket))
    except NotAuthenticated as error:
        raise Close(INVALID_TOKEN, error.detail) from error
    if claims.user_id != user:
        raise Close(FORBIDDEN, "these credentials are another user's")
    view = query.get("view", "manual")
    if view not in {"manual", "auto"}:
        raise Close(BAD_REQUEST, "view must be manual or auto")
    try:
        cursor = Cursor.parse(query["cursor"]) if query.get("cursor") else None
    except Invalid as error:
        raise Close(BAD_REQUEST, error.detail) from error
    return Hello(claims, cursor, view == "auto")


def _check_origin(socket: WebSocket[Any, Any, Any], allowed: frozenset[str]) -> None:
    """Browsers let any page open a socket to anywhere, and say from where (RFC 6455 §10.2)."""
    origin = socket.headers.get("origin")
    if origin is None or origin in allowed:
        return
    try:
        ours = urlsplit(origin).netloc == socket.headers.get("host")
    except ValueError:  # no URL at all
        ours = False
    if not ours:
        raise Close(FORBIDDEN, "this origin is not allowed")


def _closing(error: Exception) -> Close:
    match error:
        case Lagging():
            return Close(SLOW_READER, "the stream is read too slowly; resume by cursor", retry_ms=500)
        case UnknownUser():
            return Close(BAD_REQUEST, error.detail)
        case _:
            return Close(INTERNAL, str(error))


async def _say_bye(socket: WebSocket[Any, Any, Any], close: Close) -> None:
    resume = close.code < 4500
    metrics.CLOSES.labels(close.code).inc()
    bye = {
        "type": "bye",
        "code": close.code,
        "reason": close.reason,
        "retry_ms": close.retry_ms if resume else None,
        "resume": resume,
    }
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await socket.send_data(wire.text(bye))
            await socket.close(close.code, close.reason[:100])
    except (WebSocketDisconnect, RuntimeError, TimeoutError):
        logger.debug("the client was gone before its bye")
