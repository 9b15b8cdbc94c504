"""The OpenAPI document as a page that needs no script."""

import json
from collections.abc import Iterable
from html import escape

from entrypoints.web import pages
from entrypoints.web.locations import STREAM_PAGE
from entrypoints.web.pages import Document

_METHODS = ("get", "post", "put", "patch", "delete")


def page(described: Document, root: str) -> str:
    """The document as HTML. `root` is the relative path to the root of the service."""
    info = described["info"]
    return pages.page(
        info["title"],
        f"""<p>{pages.text(info["description"])}</p>
<nav aria-label="Documents">
<a href="{root}schema/openapi.json">OpenAPI document</a>
<a href="{root}{STREAM_PAGE[1:]}">Live stream</a>
</nav>""",
        f"""<h2>Credentials</h2>
{_credentials(described["components"].get("securitySchemes", {}))}
{_operations(described)}
<h2>Schemas</h2>
{_schemas(described)}""",
        f"Bellwire {escape(info['version'])} · OpenAPI {escape(described['openapi'])}",
    )


def _credentials(schemes: Document) -> str:
    rows = [(escape(name), _where(scheme)) for name, scheme in schemes.items()]
    return pages.section("credentials", "credentials", "", pages.table(("Name", "Sent as"), rows))


def _where(scheme: Document) -> str:
    if scheme["type"] == "http":
        return "<code>Authorization: Bearer …</code>"
    return f"{escape(scheme['in'])} <code>{escape(scheme['name'])}</code>"


def _operations(described: Document) -> str:
    """A heading for each tag, and below it its operations."""
    tagged: dict[str, list[tuple[str, Document]]] = {}
    for path, item in described["paths"].items():
        for method in _METHODS:
            if operation := item.get(method):
                tag = operation.get("tags", ["other"])[0]
                tagged.setdefault(tag, []).append((f"{method.upper()} {path}", operation))
    return "".join(_tag(described, tag, found) for tag, found in tagged.items())


def _tag(described: Document, tag: str, operations: Iterable[tuple[str, Document]]) -> str:
    operations = list(operations)
    links = pages.links(
        f"Operations: {escape(tag)}", [(one["operationId"], title) for title, one in operations]
    )
    sections = (_operation(described, title, one) for title, one in operations)
    return f"<h2>{escape(tag.capitalize())}</h2>{links}{''.join(sections)}"


def _operation(described: Document, title: str, operation: Document) -> str:
    about = f"{operation.get('summary', '')}. {operation.get('description', '')}"
    parts = (_security(operation), _parameters(operation), _body(described, operation), _answers(operation))
    return pages.section(operation["operationId"], title, about, *parts)


def _security(operation: Document) -> str:
    needed = [" and ".join(map(escape, one)) or "nothing" for one in operation.get("security", [])]
    return f"<h4>Credentials</h4><p>{' or '.join(needed) or 'none'}</p>"


def _parameters(operation: Document) -> str:
    rows = [
        (
            f"{escape(one['name'])} <small>{_place(one)}</small>",
            f'<span class="type">{pages.type_of(one["schema"])}</span>',
            pages.text(one.get("description", "")),
        )
        for one in operation.get("parameters", ())
    ]
    return f"<h4>Parameters</h4>{pages.table(('Name', 'Type', 'Meaning'), rows)}" if rows else ""


def _place(parameter: Document) -> str:
    return escape(parameter["in"]) + ("" if parameter.get("required") else ", optional")


def _body(described: Document, operation: Document) -> str:
    if "requestBody" not in operation:
        return ""
    content = pages.resolved(described, operation["requestBody"])["content"]
    media_type, body = next(iter(content.items()))
    schema = pages.resolved(described, body["schema"])
    fields = schema.get("properties", {})
    example = {name: field["examples"][0] for name, field in fields.items() if field.get("examples")}
    shown = f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>" if example else ""
    return f"<h4>Body: {escape(media_type)}, {pages.type_of(body['schema'])}</h4>{shown}"


def _answers(operation: Document) -> str:
    rows = [
        (escape(status), _content(answer), pages.text(answer.get("description", "")))
        for status, answer in sorted(operation["responses"].items())
    ]
    return f"<h4>Answers</h4>{pages.table(('Status', 'Body', 'When'), rows)}"


def _content(answer: Document) -> str:
    kinds = [pages.type_of(body.get("schema", {})) for body in answer.get("content", {}).values()]
    return f'<span class="type">{" or ".join(kinds)}</span>'


def _schemas(described: Document) -> str:
    return "".join(
        pages.section(
            name, name, schema.get("description", ""), pages.fields(schema) or pages.type_of(schema)
        )
        for name, schema in sorted(described["components"].get("schemas", {}).items())
    )
