"""The description of the live stream: the AsyncAPI document, and a page made of it that needs no script.

Existing renderers of AsyncAPI are scripts of at least hundreds of kilobytes.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from litestar import Request, Response, get

from common import wire
from entrypoints.live.asyncapi import Document, document
from entrypoints.web.locations import STREAM_DOCUMENT, STREAM_PAGE, to_root

_STYLE = Path(__file__).with_name("page.css").read_text()
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_CODE = re.compile(r"`([^`]+)`")


@get(STREAM_DOCUMENT, include_in_schema=False, media_type="application/json")
async def asyncapi_document() -> Response[bytes]:
    """The AsyncAPI document."""
    return Response(wire.encode(document()))


@get(STREAM_PAGE, include_in_schema=False, media_type="text/html")
async def stream_page(request: Request[Any, Any, Any]) -> Response[str]:
    """The same as a page."""
    return Response(page(to_root(request.scope)), headers={"Content-Security-Policy": _POLICY})


HANDLERS = [asyncapi_document, stream_page]


@lru_cache(maxsize=8)
def page(root: str) -> str:
    """The document as HTML. `root` is the relative path to the root of the service."""
    described = document()
    info, operations = described["info"], described["operations"]
    push, command, heartbeat = (operations[name] for name in ("push", "command", "heartbeat"))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
<header>
<h1>{escape(info["title"])}</h1>
<p>{_text(info["description"])}</p>
<nav aria-label="Documents">
<a href="{root}{STREAM_DOCUMENT[1:]}">AsyncAPI document</a>
<a href="{root}schema">HTTP API</a>
</nav>
</header>
<main>
<h2>Connect</h2>
{_connecting(described)}
<h2>From the service</h2>
{_frames(described, (push, heartbeat, command["reply"]))}
<h2>From the client</h2>
{_frames(described, (heartbeat["reply"], command))}
<h2>Parts of frames</h2>
{_parts(described)}
<h2>Close codes</h2>
{_close_codes(described["channels"]["websocket"]["x-close-codes"])}
</main>
<footer>Bellwire {escape(info["version"])} · AsyncAPI {escape(described["asyncapi"])}</footer>
</html>
"""


def _connecting(described: Document) -> str:
    channels = described["channels"]
    query = channels["websocket"]["bindings"]["ws"]["query"]
    sections = [
        _section(channel["address"], f"{channel['summary']} {channel['description']}")
        for channel in channels.values()
    ]
    return "".join((*sections, _section("?ticket&cursor&view", "The same on both.", _fields(query))))


def _frames(described: Document, operations: Iterable[Document]) -> str:
    """A section for each message, and links to them."""
    messages = [
        _resolved(described, reference) for operation in operations for reference in operation["messages"]
    ]
    links = " ".join(f'<a href="#{message["name"]}">{message["name"]}</a>' for message in messages)
    return f'<nav class="frames" aria-label="Frames">{links}</nav>' + "".join(
        _frame(described, message) for message in messages
    )


def _frame(described: Document, message: Document) -> str:
    examples = "".join(
        f"<pre>{escape(json.dumps(example['payload'], ensure_ascii=False))}</pre>"
        for example in message["examples"]
    )
    fields = _fields(_resolved(described, message["payload"]), without="type")
    return _section(message["name"], message["summary"], fields, f"<h4>Example</h4>{examples}")


def _parts(described: Document) -> str:
    """The schemas that are parts of frames."""
    components = described["components"]
    frames = {_name(message["payload"]) for message in components["messages"].values()}
    return "".join(
        _section(name, schema["description"], _fields(schema))
        for name, schema in components["schemas"].items()
        if name not in frames
    )


def _section(name: str, about: str, *parts: str) -> str:
    return f"""<section id="{escape(name)}">
<h3>{escape(name)}</h3>
<p>{_text(about)}</p>
{"".join(parts)}
</section>
"""


def _fields(schema: Document, *, without: str = "") -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"{escape(name)}{'' if name in required else ' <small>optional</small>'}",
            f'<span class="type">{_type(field)}</span>',
            _text(field.get("description", "")),
        )
        for name, field in schema["properties"].items()
        if name != without
    ]
    return _table(("Field", "Type", "Meaning"), rows) if rows else ""


def _close_codes(codes: Iterable[Document]) -> str:
    rows = [
        (
            f"{code['code']} <small>{escape(code['name'])}</small>",
            '<span class="yes">reconnects</span>' if code["resume"] else '<span class="no">stops</span>',
            f"{_text(code['meaning'])} {_text(code['client'])}",
        )
        for code in codes
    ]
    about = "Below 4500 a client reconnects with its last cursor; from 4500 on, not with the same request."
    return _section("close", about, _table(("Code", "The client", "Why, and what to do"), rows))


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _type(schema: Document) -> str:
    """A schema's type as HTML."""
    if "$ref" in schema:
        name = escape(_name(schema))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema["type"] == "array":
        return f"array of {_type(schema['items'])}"
    return escape(str(schema.get("format", schema["type"])))


def _resolved(described: Document, reference: Document) -> Document:
    found = described
    for name in reference["$ref"].split("/")[1:]:
        found = found[name]
    return _resolved(described, found) if "$ref" in found else found


def _name(reference: Document) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _text(text: str) -> str:
    """Escape text, with `code` as elements."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
