"""The OpenAPI document. Litestar describes the routes; this corrects what it says wrongly, and adds what it
leaves out: the rules of inputs, which msgspec knows, and the errors that any operation may answer with.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import isclass
from typing import Any, TypeAlias

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from entrypoints.web import rules
from entrypoints.web.schemas import PROBLEM_TEXTS, Problem

Json: TypeAlias = dict[str, Any]

ALIAS_TAG = "aliases"
TAGS = {
    "users": "Users, sessions, and locking users out.",
    "publishing": "For producers.",
    "categories": "What notifications are about, for operators.",
    "keys": "The API keys of producers.",
    "inbox": "The feed of a user.",
    "live stream": "Access to the live stream, which has a document of its own.",
    "operation": "Health, metrics and draining.",
    ALIAS_TAG: "Further paths of some operations, at the root.",
}
PROBLEM_MEDIA = "application/problem+json"

# What every operation can answer, and what those with a body can. 408, 414 and 431 come from the HTTP
# server, 421 from what stands before the routes.
_ALWAYS = (414, 421, 431, 500)
_WITH_BODY = (400, 408, 413, 415, 422)
_WITH_CREDENTIALS = (401, 429)  # failures are counted
_UNCOUNTED = {"metricsToken"}
_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
_SOMETIMES = {429}  # a user with too many streams has to close one
_PARAMETERS = {"user_id": rules.USER_ID}
_NOISE = {"deprecated": False, "allowEmptyValue": False, "allowReserved": False}


@dataclass(frozen=True, slots=True)
class _Described:
    """An operation of Litestar's document, and the route that it is of."""

    path: str
    method: str
    operation: Json
    handler: HTTPRouteHandler

    @property
    def twin(self) -> str | None:
        """The path of the same operation under /v1, if this path is an alias of it."""
        return None if self.path.startswith("/v1/") else versioned(self.handler)


def operation_id(handler: HTTPRouteHandler, _method: object, path: list[Any]) -> str:
    """The name of an operation: that of its handler, as `createUser`."""
    first, *others = handler.handler_name.split("_")
    name = first + "".join(part.capitalize() for part in others)
    return name if "v1" in path or versioned(handler) is None else f"{name}Alias"


def versioned(handler: HTTPRouteHandler) -> str | None:
    """Of a handler with several paths, the one under /v1, as OpenAPI writes it."""
    if len(handler.paths) < 2:
        return None
    return next((_plain(path) for path in handler.paths if path.startswith("/v1/")), None)


def document(app: Litestar, *, aliases: bool = False) -> Json:
    """The document. The paths at the root that are aliases are left out unless asked for: a client that is
    generated from it has one function for each operation.
    """
    key = f"{__name__}.{aliases}"
    if key not in app.state:
        app.state[key] = _composed(app, aliases=aliases)
    made: Json = app.state[key]
    return made


def _composed(app: Litestar, *, aliases: bool) -> Json:
    made: Json = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
    described = list(_described(app, made["paths"]))
    _name_aliases(described)
    for one in described:
        _complete(one)
    if not aliases:
        made["paths"] = {path: item for path, item in made["paths"].items() if not _is_alias(described, path)}
    made["components"]["schemas"] |= _schemas(described)
    made["components"]["responses"] = _responses(described)
    made["tags"] = [
        {"name": name, "description": text} for name, text in TAGS.items() if aliases or name != ALIAS_TAG
    ]
    simple: Json = _simplified(made)
    return simple


def _described(app: Litestar, paths: Json) -> Iterator[_Described]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            path = _plain(route.path)
            for method, operation in paths.get(path, {}).items():
                yield _Described(path, method, operation, route.route_handler_map[method.upper()][0])


def _plain(path: str) -> str:
    """`/users/{user_id}` for Litestar's `/users/{user_id:str}`."""
    parts = (part.partition(":")[0] + "}" if part.startswith("{") else part for part in path.split("/"))
    return "/".join(parts)


# --- operations ---


def _name_aliases(described: Iterable[_Described]) -> None:
    twins = {(one.path, one.method): one.operation for one in described}
    for one in described:
        if one.twin is not None:
            twin = twins[one.twin, one.method]
            twin.setdefault("x-aliases", []).append(one.path)
            one.operation["x-alias-of"] = twin["operationId"]
            one.operation["tags"] = [ALIAS_TAG]
            one.operation["description"] = f"An alias of `{one.method.upper()} {one.twin}`."


def _is_alias(described: Iterable[_Described], path: str) -> bool:
    return any(one.path == path and one.twin is not None for one in described)


def _complete(one: _Described) -> None:
    for parameter in one.operation.get("parameters", ()):
        parameter["schema"] = _not_null(parameter["schema"]) | (
            _PARAMETERS.get(parameter["name"], {}) if parameter["in"] == "path" else {}
        )
        parameter["schema"].pop("description", None)  # the parameter has it
    responses = one.operation["responses"]
    has_body = "requestBody" in one.operation
    # Only a body can be malformed; and Litestar expects its own 400 of every operation with a parameter.
    false = set() if has_body else {"400"}
    declared = {status for status, answer in responses.items() if _is_problem(answer)} - false
    always = {*_ALWAYS, *(_WITH_BODY if has_body else ())}
    credentials = {name for way in one.operation.get("security", ()) for name in way}
    always |= {*(_WITH_CREDENTIALS if credentials - _UNCOUNTED else ())}
    always |= {422 for parameter in one.operation.get("parameters", ()) if parameter["in"] == "query"}
    answers = {status: answer for status, answer in responses.items() if status not in declared | false}
    answers |= {
        status: {"$ref": f"#/components/responses/Problem{status}"}
        for status in declared | set(map(str, always))
    }
    one.operation["responses"] = dict(sorted(answers.items()))


def _is_problem(answer: Json) -> bool:
    return PROBLEM_MEDIA in (answer.get("content") or ())


def _responses(described: Iterable[_Described]) -> Json:
    named = {status for one in described for status in one.operation["responses"]}
    return {f"Problem{status}": _response(status) for status in sorted(PROBLEM_TEXTS) if str(status) in named}


def _response(status: int) -> Json:
    answer: Json = {
        "description": PROBLEM_TEXTS[status],
        "content": {PROBLEM_MEDIA: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
    }
    if status in _HEADERS:
        answer["headers"] = {
            _HEADERS[status]: {"schema": {"type": "string"}, "required": status not in _SOMETIMES}
        }
    return answer


# --- schemas ---


def _schemas(described: Iterable[_Described]) -> Json:
    """The schemas of bodies by msgspec, which decodes and encodes them."""
    types = {kind for one in described for kind in _bodies(one.handler)} | {Problem}
    _, schemas = msgspec.json.schema_components(
        sorted(types, key=lambda kind: kind.__name__), ref_template="#/components/schemas/{name}"
    )
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            schema["properties"][name] = _default_in_words(field)
    return schemas


def _default_in_words(field: Json) -> Json:
    """A field that may be absent. Generators of clients take one that has a `default` for one that is always
    there, and have their users send it.
    """
    default = field.get("default")
    if default in (None, [], False):
        return {name: part for name, part in field.items() if name != "default"}
    described = f"{field.get('description', '')} Absent means `{default}`.".strip()
    return {**field, "description": described, "default": None}


def _bodies(handler: HTTPRouteHandler) -> Iterator[type[msgspec.Struct]]:
    fields = (handler.parsed_data_field, handler.parsed_return_field)
    annotations = [field.annotation for field in fields if field is not None]
    annotations += [answer.data_container for answer in (handler.responses or {}).values()]
    return (kind for kind in annotations if isclass(kind) and issubclass(kind, msgspec.Struct))


def _not_null(schema: Json) -> Json:
    """The schema of a parameter, which is absent rather than null."""
    kinds = [kind for kind in schema.get("oneOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{name: value for name, value in schema.items() if name != "oneOf"}}


def _simplified(value: Any) -> Any:
    """The same with less: `type: [string, null]` for a choice of two types, which more readers understand;
    whole numbers without a fraction; nothing that says nothing.
    """
    if isinstance(value, list):
        return [_simplified(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, dict):
        return value
    kept = {
        name: _simplified(part)
        for name, part in value.items()
        if not (name in _NOISE and part is False) and not (name == "default" and part is None)
    }
    return _nullable(kept)


def _nullable(schema: Json) -> Json:
    kinds: list[Json] = schema.get("anyOf") or schema.get("allOf") or []
    rest = {name: part for name, part in schema.items() if name not in {"anyOf", "allOf"}}
    if len(kinds) == 1:
        return kinds[0] | rest
    if len(kinds) == 2 and kinds[1] == {"type": "null"} and isinstance(kinds[0].get("type"), str):
        return kinds[0] | {"type": [kinds[0]["type"], "null"]} | rest
    return schema
