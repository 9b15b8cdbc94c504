"""The fast path: the routes that are requested most, without the framework's machinery.

A route is described once, as a handler of Litestar, which makes its OpenAPI. The fast path reads the same
description and calls the same guards and the same function; it saves what the framework does for any route
(its router, a request and a response object, a model of the arguments, copies of the handler), which costs
more than the route itself. A request that is written in an unusual way goes on to the framework, which
answers as if the fast path was not there: another spelling of the path, an escaped query, a parameter that is
not valid.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin
from uuid import UUID

import msgspec
from litestar import Litestar, Response
from litestar.exceptions import ImproperlyConfiguredException
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg, HeaderParameter, PathParameter, QueryParameter
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from common import wire
from common.exchanges import ANSWER, fields_of, lines, takes_answers
from entrypoints.web import problems
from entrypoints.web.call import Call
from entrypoints.web.locations import plain_path
from entrypoints.web.ready import JSON_HEAD, Ready
from entrypoints.web.verbatim import decoded

FAST: Final[Mapping[str, bool]] = {"fast": True}
"""The `opt` of a handler on the fast path."""

_PLAIN_QUERY = re.compile(r"[0-9A-Za-z_.=&-]*")
_JSON_TYPE: Final = (b"content-type", b"application/json")
_NO_BODY: Final = frozenset({204, 304})

_Convert = Callable[[Any], Any]
"""Reads what was sent: a text, or a list of texts for a parameter that may be repeated."""


class _Unusual(Exception):
    """The framework answers this request."""


class _Parameter(NamedTuple):
    name: str
    """In the function."""
    sent_as: str
    convert: _Convert
    repeats: bool = False


class FastPath:
    """Serves the plain requests of the handlers that ask for it, and leaves all others to `app`."""

    def __init__(self, litestar: Litestar, app: ASGIApp) -> None:
        self._app = app
        self._cors = litestar.cors_config is not None
        self._whole: dict[tuple[str, str], _Route] = {}
        self._patterns: dict[str, _Patterns] = {}
        for path, handler in _fast_handlers(litestar):
            for method in handler.http_methods:
                self._add(method, path, _Route(path, handler))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            route, call, arguments = self._call(scope, receive)
        except _Unusual:
            await self._app(scope, receive, send)
            return
        try:
            result = await route.answer(call, arguments)
        except Exception as error:  # noqa: BLE001 - each has an answer
            result = problems.answer(scope, error)
        if takes_answers(scope):
            await send(_whole(result, route.status))
            return
        status, headers, body = _rendered(result, route.status)
        start: Any = {"type": "http.response.start", "status": status, "headers": headers}
        end: Any = {"type": "http.response.body", "body": body}
        await send(start)
        await send(end)

    def _call(self, scope: Any, receive: Receive) -> "tuple[_Route, Call, dict[str, Any]]":
        """A request with its route and the arguments in its address. Raises _Unusual."""
        if scope["type"] != "http" or (self._cors and b"origin" in fields_of(scope)):
            raise _Unusual
        path = plain_path(scope)
        if path is None:
            raise _Unusual
        route, values = self._found(scope["method"], path)
        arguments = route.query(scope)
        call = route.call(scope, receive, values)
        scope["path"] = path
        return route, call, arguments

    def _found(self, method: str, path: str) -> "tuple[_Route, Sequence[str]]":
        route = self._whole.get((method, path))
        if route is not None:
            return route, ()
        patterns = self._patterns.get(method)
        if patterns is None:
            raise _Unusual
        return patterns.found(path)

    def _add(self, method: str, path: str, route: "_Route") -> None:
        if route.parameters:
            self._patterns.setdefault(method, _Patterns()).add(route)
        else:
            self._whole[method, path] = route


class _Patterns:
    """The paths of one method that have parameters, as one regular expression."""

    def __init__(self) -> None:
        self._routes: dict[int, _Route] = {}
        """By the number of the last group of each path."""
        self._sources: list[str] = []
        self._groups = 0
        self._pattern = re.compile("")

    def add(self, route: "_Route") -> None:
        self._groups += len(route.parameters)
        self._routes[self._groups] = route
        self._sources.append(re.sub(r"\{[^}]*\}", "([^/]+)", route.path))
        self._pattern = re.compile("|".join(self._sources))

    def found(self, path: str) -> "tuple[_Route, Sequence[str]]":
        match = self._pattern.fullmatch(path)
        if match is None or match.lastindex is None:
            raise _Unusual
        route = self._routes[match.lastindex]
        return route, match.groups()[match.lastindex - len(route.parameters) : match.lastindex]


class _Route:
    """A handler on one of its paths, ready to be called."""

    def __init__(self, path: str, handler: HTTPRouteHandler) -> None:
        """Raises ImproperlyConfiguredException for a handler that needs more than the fast path does."""
        if asked := _asked_of_the_framework(handler):
            raise ImproperlyConfiguredException(f"{path}: {asked} would have no effect on the fast path")
        self.path = path
        self.status = handler.status_code
        self.parameters = re.findall(r"\{([^}]*)\}", path)
        self._handler = handler
        self._guards: Any = handler.resolve_guards()
        self._function: Any = handler.fn
        self._limit = handler.resolve_request_max_body_size()
        self._takes_request = False
        self._body: Any = None
        self._path: list[_Parameter] = []
        self._query: list[_Parameter] = []
        self._headers: list[tuple[str, bytes]] = []
        self._provided: list[tuple[str, Any]] = []
        self._read_signature()

    def call(self, scope: Any, receive: Receive, values: Sequence[str]) -> Call:
        """Take the request. Raises _Unusual if a part of the path is not what it should be."""
        params: dict[str, Any] = {}
        if values:
            try:
                for parameter, value in zip(self._path, values, strict=True):
                    params[parameter.sent_as] = parameter.convert(value)
            except ValueError:
                raise _Unusual from None
        scope["path_params"], scope["path_template"] = params, self.path
        return Call(scope, receive, params, self._limit)

    def query(self, scope: Any) -> dict[str, Any]:
        """The arguments in the query. Raises _Unusual."""
        raw: bytes = scope["query_string"]
        if not raw or not self._query:
            return {}
        given = _plain_query(raw.decode("latin-1"))
        try:
            return {
                parameter.name: parameter.convert(_sent(parameter, given[parameter.sent_as]))
                for parameter in self._query
                if parameter.sent_as in given
            }
        except msgspec.ValidationError:
            raise _Unusual from None

    async def answer(self, call: Call, arguments: dict[str, Any]) -> Any:
        """Admit the caller, read the body, and call the function with these arguments and the others."""
        for guard in self._guards:
            await guard(call, self._handler)
        arguments |= call.path_params
        for name, sent_as in self._headers:
            sent = call.headers.fields.get(sent_as)
            arguments[name] = None if sent is None else sent.decode("latin-1")
        for name, provide in self._provided:
            arguments[name] = provide()
        if self._takes_request:
            arguments["request"] = call
        if self._body is not None:
            arguments["data"] = decoded(await call.body(), self._body, call.scope)
        return await self._function(**arguments)

    def _read_signature(self) -> None:
        provided = self._handler.resolve_dependencies()
        for name, field in self._handler.parsed_fn_signature.parameters.items():
            kind = field.kwarg_definition
            if name in provided:
                self._provided.append((name, provided[name].dependency))
            elif name == "request":
                self._takes_request = True
            elif isinstance(kind, BodyKwarg):
                self._body = field.annotation
            elif isinstance(kind, PathParameter):
                self._path.append(_Parameter(name, name, _path_type(field.annotation)))
            elif isinstance(kind, QueryParameter) and field.has_default:
                bounds = msgspec.Meta(ge=kind.ge, le=kind.le)
                convert = _converter(field.annotation, bounds)
                repeats = any(get_origin(one) is list for one in get_args(field.annotation))
                self._query.append(_Parameter(name, kind.name or name, convert, repeats))
            elif isinstance(kind, HeaderParameter):
                self._headers.append((name, (kind.name or name).lower().encode()))
            else:
                raise ImproperlyConfiguredException(f"{name} cannot be given on the fast path")
        self._path.sort(key=lambda parameter: self.parameters.index(parameter.sent_as))


def _fast_handlers(app: Litestar) -> Iterable[tuple[str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if handler.opt.get("fast"):
                    yield route.path_format, handler


def _asked_of_the_framework(handler: HTTPRouteHandler) -> str:
    """Options of a handler, or of what it is part of, for which only the framework does something."""
    asked = {
        "after_request": any(getattr(layer, "after_request", None) for layer in handler.ownership_layers),
        "after_response": handler.resolve_after_response(),
        "background": handler.background,
        "before_request": handler.resolve_before_request(),
        "cache": handler.cache,
        "middleware": handler.resolve_middleware(),
        "response_cookies": handler.resolve_response_cookies(),
        # `cache_control` and `etag` are among them.
        "response_headers": handler.resolve_response_headers(),
    }
    return ", ".join(name for name, value in asked.items() if value)


def _plain_query(text: str) -> dict[str, list[str]]:
    """The parameters of a query in which nothing is escaped. Raises _Unusual."""
    if _PLAIN_QUERY.fullmatch(text) is None:
        raise _Unusual
    given: dict[str, list[str]] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        given.setdefault(name, []).append(value)
    return given


def _sent(parameter: _Parameter, values: list[str]) -> str | list[str]:
    """What was sent for a parameter. Raises _Unusual if it is repeated and must not be."""
    if parameter.repeats:
        return values
    if len(values) > 1:
        raise _Unusual
    return values[0]


def _path_type(annotation: Any) -> _Convert:
    """How a part of a path is read. Raises ValueError."""
    convert: _Convert = {str: str, UUID: UUID}[annotation]
    return convert


def _converter(annotation: Any, bounds: msgspec.Meta) -> _Convert:
    """How a parameter of a query is read. Raises msgspec.ValidationError."""
    kind = Annotated[annotation, bounds]

    def convert(sent: Any) -> Any:
        return msgspec.convert(sent, kind, strict=False)

    return convert


def _whole(result: Any, status: int) -> Any:
    """What a handler returned, as one message."""
    if isinstance(result, Ready):
        status, head, body = result.status_code or status, result.head(), result.content
    elif not isinstance(result, Response):
        body = wire.encode(result)
        head = JSON_HEAD % len(body)
    else:
        status, headers, body = _rendered(result, status)
        head = lines(headers)
    return {"type": ANSWER, "status": status, "head": head, "body": body}


def _rendered(result: Any, status: int) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The status, the headers and the body of what a handler returned."""
    if not isinstance(result, Response):
        body = wire.encode(result)
        return status, [_JSON_TYPE, (b"content-length", b"%d" % len(body))], body
    if not all(map(str.isprintable, map(str, result.headers.values()))):
        raise ValueError("a header has a character that none may have")
    headers = [(name.lower().encode(), str(value).encode()) for name, value in result.headers.items()]
    status, body = result.status_code or status, result.content
    if status not in _NO_BODY:
        media_type = str(result.media_type).encode()
        headers += [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    return status, headers, body
