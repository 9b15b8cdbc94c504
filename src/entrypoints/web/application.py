"""The framework's application, entered directly."""

from collections.abc import Awaitable
from typing import Any

from litestar import Litestar
from litestar.types import Receive, Send


class Application(Litestar):
    """Hands a request on without the framework's coroutine around it, which is only needed for hooks
    (`before_send`).
    """

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        """Serve a request, a socket, or the lifespan of the process."""
        if scope["type"] == "lifespan" or self.before_send:
            return super().__call__(scope, receive, send)
        scope["app"] = scope["litestar_app"] = self
        scope.setdefault("state", {})
        return self.asgi_handler(scope, receive, send)
