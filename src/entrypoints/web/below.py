"""The whole service below a path, whether or not the proxy in front takes the path off."""

from typing import Any

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from common.security_headers import secured


def served_below(app: Litestar, root: str) -> Litestar:
    """Serve an application below `root` too, such as `/bell`. All its links are relative."""
    app.asgi_handler = _Below(app.asgi_handler, root)
    return app


class _Below:
    """Takes `root` off the path of a request that has it. One without it is served as it is: a proxy has
    taken it off, or something asks the process itself, such as a health check.
    """

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root, self._raw_root = root, root.encode("ascii")

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["path"] == self._root and scope["type"] == ScopeType.HTTP:
            await self._redirect(scope, send)
            return
        raw = scope["raw_path"]
        # In the raw path too: an escaped spelling of `root` is not taken off, and leads nowhere.
        if raw.startswith(self._raw_root + b"/"):
            scope["path"] = scope["path"].removeprefix(self._root)
            scope["raw_path"] = raw.removeprefix(self._raw_root)
        await self._app(scope, receive, send)

    async def _redirect(self, scope: Scope, send: Send) -> None:
        """Add the slash at the end, without which the links of the page at the root lead elsewhere."""
        query = b"?" * bool(scope["query_string"]) + scope["query_string"]
        headers = [(b"location", self._raw_root + b"/" + query), (b"content-length", b"0")]
        start: Any = {"type": "http.response.start", "status": 308, "headers": secured(headers)}
        end: Any = {"type": "http.response.body", "body": b""}
        await send(start)
        await send(end)
