"""HEAD: the answer to GET, without its body (RFC 9110 §9.3.2)."""

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.web.locations import own_path


def answering_head(app: Litestar) -> Litestar:
    """Make an application answer HEAD wherever it answers GET, except for streams, which have no end."""
    app.asgi_handler = _AnsweringHead(app.asgi_handler)
    return app


class _AnsweringHead:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD" or _is_stream(scope):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        # The server has its own scope, still with HEAD, and so sends no body.
        as_get: Scope = {**scope, "method": "GET"}
        await self._app(as_get, receive, send_head)


def _is_stream(scope: Scope) -> bool:
    return own_path(scope).lstrip("/").startswith("sse/")
