"""What the OpenAPI document allows as an answer, for answers that were really given."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from litestar import Litestar

from entrypoints.http import contract

Json = dict[str, Any]


def broken_promises(app: Litestar, response: httpx.Response) -> list[str]:
    """What is wrong with an answer: a status, a kind of content, a header or a body that is not promised."""
    method = response.request.method.lower()
    template = _template(app, response.request.url.path, "get" if method == "head" else method)
    if template is None or response.status_code == 405:  # no operation
        return []
    document = contract.document(app, aliases=True)
    operation = document["paths"][template]["get" if method == "head" else method]
    promised = operation["responses"].get(str(response.status_code))
    if promised is None:
        return [f"{operation['operationId']} does not promise the status {response.status_code}"]
    if "$ref" in promised:
        promised = document["components"]["responses"][promised["$ref"].rpartition("/")[2]]
    missing = [
        name
        for name, header in promised.get("headers", {}).items()
        if header["required"] and name not in response.headers
    ]
    return [f"the header {name} is missing" for name in missing] + (
        [] if method == "head" else _broken_body(document, promised, response)
    )


def _broken_body(document: Json, promised: Mapping[str, Any], response: httpx.Response) -> list[str]:
    content = promised.get("content", {})
    if not response.content:
        return ["there is no body"] if content else []
    kind = response.headers["Content-Type"].partition(";")[0]
    if kind not in content:
        return [f"{kind} is not promised"]
    if not kind.endswith(("/json", "+json")):
        return []
    schema = {**content[kind]["schema"], "components": document["components"]}
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(json.loads(response.content))
    ]


def _template(app: Litestar, path: str, method: str) -> str | None:
    """The path of the document that an address belongs to; one without parameters wins."""
    parts = path.split("/")
    found = [
        template
        for template, known in _templates(app)
        if len(known) == len(parts)
        and all(name.startswith("{") or name == part for name, part in zip(known, parts, strict=True))
    ]
    allowed = [one for one in found if method in contract.document(app, aliases=True)["paths"][one]]
    return min(allowed, key=lambda one: one.count("{"), default=None)


@cache
def _templates(app: Litestar) -> list[tuple[str, list[str]]]:
    return [(path, path.split("/")) for path in contract.document(app, aliases=True)["paths"]]
