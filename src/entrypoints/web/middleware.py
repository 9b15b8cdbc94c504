"""The middleware of every request: ids for the log, security headers, metrics."""

import logging
import re

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from application.ports import Monotonic, NewToken
from common import metrics, tracing
from entrypoints.web import limits

logger = logging.getLogger("bellwire.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


class Observed:
    """Gives each request its ids, and measures and logs its answer.

    Plain ASGI, because every request passes it: it costs about ten microseconds.
    """

    def __init__(self, app: ASGIApp, *, log: bool, now: Monotonic, new_token: NewToken) -> None:
        self._app = app
        self._log = log
        self._now = now
        self._new_token = new_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._identify(dict(scope["headers"]))
        if scope["type"] == ScopeType.WEBSOCKET:
            await self._app(scope, receive, send)
            return
        started = self._now()

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *_SECURITY_HEADERS,
                    *limits.headers(scope),
                    (b"x-request-id", request_id),
                ]
                self._observe(scope, message["status"], self._now() - started)
            await send(message)

        await self._app(scope, receive, observed_send)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope.get("method", "")
        route = scope.get("path_template") or "none"
        metrics.HTTP.labels(method, route, status).observe(seconds)
        if self._log:
            logger.info("%s %s %d", method, scope["path"], status, extra={"seconds": round(seconds, 6)})

    def _identify(self, headers: dict[bytes, bytes]) -> bytes:
        """Set the ids of the request for the log, the caller's if they are valid. Returns the request id."""
        given = headers.get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID.fullmatch(given) else self._new_token(8).encode()
        tracing.request_id.set(request_id.decode())
        tracing.traceparent.set(
            tracing.continued(headers.get(b"traceparent", b"").decode("latin-1"), self._new_token)
        )
        return request_id
