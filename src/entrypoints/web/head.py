"""HEAD and OPTIONS, which every path answers."""

from collections.abc import Awaitable, Mapping
from typing import Any

from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.web.locations import own_path


def answering_head(app: Litestar) -> Litestar:
    """Make an application answer HEAD wherever it answers GET, except for streams, which have no end
    (RFC 9110 §9.3.2), and OPTIONS with every method of the path (§9.3.7): the framework names only some where
    several handlers share one.
    """
    methods = {
        route.path_format: ",".join(
            method for handler in route.route_handlers for method in handler.http_methods
        )
        for route in app.routes
        if isinstance(route, HTTPRoute)
    }
    app.asgi_handler = _Answering(app.asgi_handler, methods)
    return app


def allowed(methods: str, scope: Mapping[str, Any]) -> str:
    """The value of Allow: these methods, and HEAD if they have GET."""
    # The framework also names the protocol of a WebSocket, in lower case.
    named = {method for method in methods.replace(" ", "").split(",") if method.isupper()}
    return ", ".join(sorted(named | ({"HEAD"} if "GET" in named and not _is_stream(scope) else set())))


class _Answering:
    def __init__(self, app: ASGIApp, methods: Mapping[str, str]) -> None:
        self._app = app
        self._methods = methods
        """The methods of each path, as the value of Allow."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine: that would be another one to resume for nearly every request."""
        method = scope.get("method", "")  # a WebSocket has none
        if method == "HEAD" and not _is_stream(scope):
            return self._head(scope, receive, send)
        if method == "OPTIONS":
            return self._options(scope, receive, send)
        return self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        # The server has its own scope, still with HEAD, and so sends no body.
        as_get: Any = {**scope, "method": "GET"}
        await self._app(as_get, receive, send_head)

    async def _options(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_options(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {name.lower(): value for name, value in message["headers"]}
                if b"allow" in headers:
                    methods = self._methods[scope["path_template"]]
                    headers[b"allow"] = allowed(methods, scope).encode()
                    message["headers"] = list(headers.items())
            await send(message)

        await self._app(scope, receive, send_options)


def _is_stream(scope: Mapping[str, Any]) -> bool:
    return own_path(scope).lstrip("/").startswith("sse/")
