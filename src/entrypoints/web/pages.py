"""The parts of pages that describe an API: HTML without a script, and the policy under which it is served.

Existing renderers of OpenAPI and AsyncAPI are scripts of hundreds of kilobytes to megabytes, with holes that
are found year after year.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]

_STYLE = Path(__file__).with_name("page.css").read_text()
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def policy(style: str, script: str | None = None, *, connect: bool = False) -> str:
    """The Content-Security-Policy of a page with this style, and this script if it has one: nothing else
    runs, and nothing is loaded.
    """
    rules = [
        "default-src 'none'",
        f"style-src '{_hash(style)}'",
        *([f"script-src '{_hash(script)}'"] if script is not None else []),
        *(["connect-src 'self'"] if connect else []),
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return "; ".join(rules)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


POLICY = policy(_STYLE)
"""The policy of pages made by `page`."""


def page(title: str, header: str, main: str, footer: str) -> str:
    """A whole page. `title` is text, the others are HTML."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
<header>
<h1>{escape(title)}</h1>
{header}
</header>
<main>
{main}
</main>
<footer>{footer}</footer>
</html>
"""


def section(anchor: str, title: str, about: str, *parts: str) -> str:
    """A section with a title and a paragraph, both text, and parts, which are HTML."""
    paragraph = f"<p>{text(about)}</p>\n" if about else ""
    return f"""<section id="{escape(anchor)}">
<h3>{escape(title)}</h3>
{paragraph}{"".join(parts)}
</section>
"""


def links(label: str, anchors: Iterable[tuple[str, str]]) -> str:
    """Links to sections of the page: their anchors and titles."""
    found = " ".join(f'<a href="#{escape(anchor)}">{escape(title)}</a>' for anchor, title in anchors)
    return f'<nav class="frames" aria-label="{label}">{found}</nav>'


def fields(schema: Document, *, without: str = "") -> str:
    """A table of the fields of an object."""
    required = schema.get("required", ())
    rows = [
        (
            f"{escape(name)}{'' if name in required else ' <small>optional</small>'}",
            f'<span class="type">{type_of(field)}</span>',
            text(field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
        if name != without
    ]
    return table(("Field", "Type", "Meaning"), rows) if rows else ""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def type_of(schema: Document) -> str:
    """A schema's type as HTML."""
    if "$ref" in schema:
        name = escape(name_of(schema))
        return f'<a href="#{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(type_of, choices))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array of {type_of(schema.get('items', {}))}"
    return escape(" or ".join(kind) if isinstance(kind, list) else str(schema.get("format", kind)))


def resolved(described: Document, reference: Document) -> Document:
    """What a reference refers to."""
    if "$ref" not in reference:
        return reference
    found = described
    for name in reference["$ref"].split("/")[1:]:
        found = found[name]
    return resolved(described, found)


def name_of(reference: Document) -> str:
    """The last part of a reference."""
    return str(reference["$ref"]).rpartition("/")[2]


def text(plain: str) -> str:
    """Escape text, with `code` and [links](…) as elements."""
    return _LINK.sub(r'<a href="\2">\1</a>', _CODE.sub(r"<code>\1</code>", escape(plain)))
