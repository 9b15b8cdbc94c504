"""The AsyncAPI 3.0 document of the live stream, made of the types of its frames."""

import inspect
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeAlias, get_args

import msgspec

from domain.feed import MARK_LIMIT
from entrypoints.live.examples import EXAMPLES
from entrypoints.live.frames import (
    BAD_REQUEST,
    INBOUND_BYTES,
    SUBPROTOCOL,
    ClientFrame,
    Marking,
    Pong,
    Snooze,
    Unsnooze,
)
from entrypoints.live.protocol import CLOSE_CODES, Change, Error, Ok, Ping, ServerFrame, Update
from entrypoints.version import app_version

Document: TypeAlias = dict[str, Any]
FrameType: TypeAlias = type[msgspec.Struct]

SERVER_FRAMES: tuple[FrameType, ...] = get_args(ServerFrame)
CLIENT_FRAMES: tuple[FrameType, ...] = get_args(ClientFrame)

_ANSWERS = (Ok, Error)
_COMMANDS = tuple(frame for frame in CLIENT_FRAMES if frame is not Pong)
_PUSHED = tuple(frame for frame in SERVER_FRAMES if frame not in {Ok, Error, Ping})
# Server-sent events carry no commands, but `view=auto` can cause an error.
_ON_SSE: tuple[FrameType, ...] = (*_PUSHED, Error)

_ABOUT = (
    "Every change of a user's feed, as it happens, on every stream of the user. A `cursor` is a position in "
    "the feed: text to keep and hand back. A frame that moves the feed carries `prev`, the position it "
    "follows, and `cursor`, the one after it. Ignore types and fields that you do not know."
)
_ABOUT_TICKET = "From `POST /v1/stream-tickets`, for browsers: single use, valid for 30 s."
_ABOUT_WEBSOCKET = (
    f"The subprotocol is `{SUBPROTOCOL}`; compression is off. A refused connection is accepted first, then "
    f"gets a `bye` and a close code, so that a browser can see why. A client's frame has at most "
    f"{INBOUND_BYTES} bytes; above 16 KiB the socket is closed without a `bye`."
)
_ABOUT_SSE = (
    "For networks that block WebSockets. An event's `data` is a frame, its `id` the cursor after it; "
    "`Last-Event-ID` resumes as `cursor` does, and takes precedence over it. After a silence of "
    "`ping_interval` the service sends a comment, which needs no answer. Marks are made over HTTP. A refusal "
    "before the stream begins is a problem document (RFC 9457) with the status 401, 403, 404, 422, 429 or "
    "503; a stream ends with a `bye`, whose `retry_ms` is also sent as `retry`. A ticket opens one stream: a "
    "browser that used one closes the `EventSource` when it fails, and opens another with a new ticket."
)


def tag(frame: FrameType) -> str:
    """The `type` that a frame carries."""
    return str(frame.__struct_config__.tag)


@cache
def document(root_path: str = "") -> Document:
    """Compose the document of a service that is reached below `root_path`."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Bellwire: the live stream",
            "version": app_version(),
            "description": _ABOUT,
            "license": {"name": "MIT"},
            "tags": [{"name": "live stream"}],
        },
        "defaultContentType": "application/json",
        "servers": _servers(root_path),
        "channels": {"websocket": _websocket(), "sse": _sse()},
        "operations": _operations(),
        "components": {
            "schemas": _schemas(),
            "messages": {tag(frame): _message(frame) for frame in (*SERVER_FRAMES, *CLIENT_FRAMES)},
            "securitySchemes": _security_schemes(),
        },
    }


# --- servers and channels ---


def _servers(root_path: str) -> Document:
    about = {
        "websocket": ("ws", "WebSocket; `wss` if a proxy in front terminates TLS."),
        "http": ("http", "Server-sent events; `https` if a proxy in front terminates TLS."),
    }
    below = {"pathname": root_path} if root_path else {}
    return {name: _server(*told) | below for name, told in about.items()}


def _server(protocol: str, description: str) -> Document:
    schemes = ("userToken", "ticket")
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": {"host": {"default": "localhost:8000", "description": "Where the API listens."}},
        "security": [_ref("components", "securitySchemes", name) for name in schemes],
    }


def _security_schemes() -> Document:
    return {
        "userToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The user's token, for clients that can set headers.",
        },
        "ticket": {
            "type": "httpApiKey",
            "in": "query",
            "name": "ticket",
            "description": _ABOUT_TICKET,
        },
    }


def _websocket() -> Document:
    return {
        "address": "/ws/{user_id}",
        "title": "WebSocket",
        "summary": "One JSON object per text message, in both directions.",
        "description": _ABOUT_WEBSOCKET,
        "servers": [_ref("servers", "websocket")],
        "parameters": _parameters(),
        "messages": _messages((*SERVER_FRAMES, *CLIENT_FRAMES)),
        "bindings": {
            "ws": {
                "method": "GET",
                "query": _query(),
                "headers": _object(
                    {
                        "Sec-WebSocket-Protocol": {"type": "string", "const": SUBPROTOCOL},
                        "Origin": {
                            "type": "string",
                            "description": "The API's own host, or one of `BELLWIRE_ALLOWED_ORIGINS`.",
                        },
                    }
                ),
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": close_codes(),
    }


def _sse() -> Document:
    return {
        "address": "/sse/{user_id}",
        "title": "Server-sent events",
        "summary": "The same frames, from the service only.",
        "description": _ABOUT_SSE,
        "servers": [_ref("servers", "http")],
        "parameters": _parameters(),
        "messages": _messages(_ON_SSE),
    }


def _parameters() -> Document:
    return {"user_id": {"description": "The user of the token or ticket.", "examples": ["demo"]}}


def _query() -> Document:
    return _object(
        {
            "ticket": {
                "type": "string",
                "description": f"{_ABOUT_TICKET} Other clients send `Authorization: Bearer <token>` instead.",
            },
            "cursor": {
                "type": "string",
                "description": "Resume after this position. Default: the current one.",
            },
            "view": {
                "type": "string",
                "enum": ["manual", "auto"],
                "default": "manual",
                "description": "`auto`: what is sent live, not in a catch-up, is marked read immediately.",
            },
        }
    )


def close_codes() -> list[Document]:
    """The codes with which the service closes a socket, in order."""
    return [
        {
            "code": code,
            "name": why.name,
            "meaning": why.meaning,
            "resume": code < BAD_REQUEST,
            "client": why.action,
        }
        for code, why in sorted(CLOSE_CODES.items())
    ]


# --- operations and messages ---


def _operations() -> Document:
    """`send` and `receive` are seen from the service: it sends what a client receives."""
    return {
        "push": {
            "action": "send",
            "title": "Changes of the feed",
            "description": "As they happen, after `welcome`.",
            **_exchanged("websocket", _PUSHED),
        },
        "command": {
            "action": "receive",
            "title": "Commands of the client",
            "description": "Answered in the order in which they are sent.",
            **_exchanged("websocket", _COMMANDS),
            "reply": _exchanged("websocket", _ANSWERS),
        },
        "heartbeat": {
            "action": "send",
            "title": "Sign of life after a silence",
            "description": "A client that does not answer is closed with 4001.",
            **_exchanged("websocket", (Ping,)),
            "reply": _exchanged("websocket", (Pong,)),
        },
        "follow": {
            "action": "send",
            "title": "Changes of the feed",
            "description": "The same as on a WebSocket.",
            **_exchanged("sse", _ON_SSE),
            "bindings": {"http": {"method": "GET", "query": _query(), "bindingVersion": "0.3.0"}},
        },
    }


def _exchanged(channel: str, frames: Iterable[FrameType]) -> Document:
    return {
        "channel": _ref("channels", channel),
        "messages": [_ref("channels", channel, "messages", tag(frame)) for frame in frames],
    }


def _messages(frames: Iterable[FrameType]) -> Document:
    return {tag(frame): _ref("components", "messages", tag(frame)) for frame in frames}


def _message(frame: FrameType) -> Document:
    return {
        "name": tag(frame),
        "title": frame.__name__,
        "summary": inspect.getdoc(frame),
        "payload": _ref("components", "schemas", frame.__name__),
        "examples": [{"payload": example} for example in EXAMPLES[tag(frame)]],
    }


def _schemas() -> Document:
    template = "#/components/schemas/{name}"
    _, schemas = msgspec.json.schema_components((*SERVER_FRAMES, *CLIENT_FRAMES), ref_template=template)
    markings = [frame.__name__ for frame in CLIENT_FRAMES if issubclass(frame, Marking)]
    for name in (Update.__name__, *markings):
        schemas[name]["oneOf"] = [{"required": ["ids"]}, {"required": ["up_to"]}]
    for name in (*markings, Snooze.__name__, Unsnooze.__name__):
        schemas[name]["properties"]["ids"]["maxItems"] = MARK_LIMIT
    schemas[Change.__name__] |= {"maxProperties": 1}
    schemas[Update.__name__] |= {
        "if": {"required": ["preferences"]},
        "then": {
            "required": ["ids"],
            "properties": {"ids": {"maxItems": 0}, "set": {"maxProperties": 0}},
        },
        "else": {"properties": {"set": {"minProperties": 1}}},
    }
    return schemas


def _object(properties: Document) -> Document:
    return {"type": "object", "properties": properties}


def _ref(*path: str) -> Document:
    return {"$ref": "/".join(("#", *path))}
