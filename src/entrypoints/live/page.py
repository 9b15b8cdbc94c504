"""The description of the live stream: the AsyncAPI document, and a page made of it that needs no script."""

import json
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from common import wire
from entrypoints.live.asyncapi import Document, document
from entrypoints.web import pages
from entrypoints.web.locations import STREAM_DOCUMENT, STREAM_PAGE, to_root


def described(root_path: str) -> list[HTTPRouteHandler]:
    """The routes of the description of a service that is reached below `root_path`."""

    @get(STREAM_DOCUMENT, include_in_schema=False, media_type="application/json")
    async def asyncapi_document() -> Response[bytes]:
        return Response(wire.encode(document(root_path)))

    @get(STREAM_PAGE, include_in_schema=False, media_type="text/html")
    async def stream_page(request: Request[Any, Any, Any]) -> Response[str]:
        return Response(page(to_root(request.scope)), headers={"Content-Security-Policy": pages.POLICY})

    return [asyncapi_document, stream_page]


@lru_cache(maxsize=8)
def page(root: str) -> str:
    """The document as HTML. `root` is the relative path to the root of the service."""
    described = document()
    info, operations = described["info"], described["operations"]
    push, command, heartbeat = (operations[name] for name in ("push", "command", "heartbeat"))
    return pages.page(
        info["title"],
        f"""<p>{pages.text(info["description"])}</p>
<nav aria-label="Documents">
<a href="{root}{STREAM_DOCUMENT[1:]}">AsyncAPI document</a>
<a href="{root}schema">HTTP API</a>
</nav>""",
        f"""<h2>Connect</h2>
{_connecting(described)}
<h2>From the service</h2>
{_frames(described, "from the service", (push, heartbeat, command["reply"]))}
<h2>From the client</h2>
{_frames(described, "from the client", (heartbeat["reply"], command))}
<h2>Parts of frames</h2>
{_parts(described)}
<h2>Close codes</h2>
{_close_codes(described["channels"]["websocket"]["x-close-codes"])}""",
        f"Bellwire {escape(info['version'])} · AsyncAPI {escape(described['asyncapi'])}",
    )


def _connecting(described: Document) -> str:
    channels = described["channels"]
    query = channels["websocket"]["bindings"]["ws"]["query"]
    sections = [
        _section(channel["address"], f"{channel['summary']} {channel['description']}")
        for channel in channels.values()
    ]
    return "".join((*sections, _section("?ticket&cursor&view", "The same on both.", pages.fields(query))))


def _frames(described: Document, whose: str, operations: Iterable[Document]) -> str:
    """A section for each message, and links to them."""
    messages = [
        pages.resolved(described, reference)
        for operation in operations
        for reference in operation["messages"]
    ]
    links = pages.links(f"Frames {whose}", [(message["name"], message["name"]) for message in messages])
    return links + "".join(_frame(described, message) for message in messages)


def _frame(described: Document, message: Document) -> str:
    examples = "".join(
        f"<pre>{escape(json.dumps(example['payload'], ensure_ascii=False))}</pre>"
        for example in message["examples"]
    )
    fields = pages.fields(pages.resolved(described, message["payload"]), without="type")
    return _section(message["name"], message["summary"], fields, f"<h4>Example</h4>{examples}")


def _parts(described: Document) -> str:
    """The schemas that are parts of frames."""
    components = described["components"]
    frames = {pages.name_of(message["payload"]) for message in components["messages"].values()}
    return "".join(
        _section(name, schema["description"], pages.fields(schema))
        for name, schema in components["schemas"].items()
        if name not in frames
    )


def _section(name: str, about: str, *parts: str) -> str:
    return pages.section(name, name, about, *parts)


def _close_codes(codes: Iterable[Document]) -> str:
    rows = [
        (
            f"{code['code']} <small>{escape(code['name'])}</small>",
            '<span class="yes">reconnects</span>' if code["resume"] else '<span class="no">stops</span>',
            f"{pages.text(code['meaning'])} {pages.text(code['client'])}",
        )
        for code in codes
    ]
    about = "Below 4500 a client reconnects with its last cursor; from 4500 on, not with the same request."
    return _section("close", about, pages.table(("Code", "The client", "Why, and what to do"), rows))
