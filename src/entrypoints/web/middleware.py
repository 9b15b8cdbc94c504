"""What every request passes, also one that no route answers: ids for the log, security headers, metrics."""

import logging
import re
from functools import cache
from typing import Any

from litestar import Litestar
from litestar.types import ASGIApp, Receive, Scope, Send

from application.ports import Monotonic, NewToken
from common import metrics, tracing
from common.security_headers import secured
from entrypoints.web import limits
from entrypoints.web.hosts import KnownHosts
from entrypoints.web.traced import Traced

logger = logging.getLogger("bellwire.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ID_BYTES = 8
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})


def fronted(
    app: Litestar,
    *,
    log: bool,
    hosts: frozenset[str],
    now: Monotonic,
    new_token: NewToken,
    tracer: tracing.Tracer | None = None,
) -> Litestar:
    """Put Observed before an application, Traced if there is a tracer, and KnownHosts if hosts are given. The
    framework's own middleware would not see a request that no route answers (404, 405).
    """
    inner: ASGIApp = KnownHosts(app.asgi_handler, hosts) if hosts else app.asgi_handler
    if tracer is not None:
        inner = Traced(inner, tracer)
    app.asgi_handler = Observed(inner, log=log, now=now, new_token=new_token)
    return app


class Observed:
    """Gives each request its ids and its answer the security headers, and measures and logs the answer.

    Plain ASGI, because every request passes it: it costs about ten microseconds.
    """

    def __init__(self, app: ASGIApp, *, log: bool, now: Monotonic, new_token: NewToken) -> None:
        self._app = app
        self._log = log
        self._now = now
        self._new_token = new_token
        self._histogram = cache(metrics.HTTP.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._identify(dict(scope["headers"]))
        started = self._now()

        async def observed_send(message: Any) -> None:
            if message["type"] in _STARTS:
                message["headers"] = [
                    *secured(message["headers"]),
                    *limits.headers(scope),
                    (b"x-request-id", request_id),
                ]
                self._observe(scope, message["status"], self._now() - started)
            await send(message)

        await self._app(scope, receive, observed_send)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope.get("method", "GET")
        route = scope.get("path_template") or "none"
        # Anybody may invent methods, and each would be a time series.
        self._histogram(method if method in _METHODS else "other", route, status).observe(seconds)
        if self._log:
            logger.info("%s %s %d", method, scope["path"], status, extra={"seconds": round(seconds, 6)})

    def _identify(self, headers: dict[bytes, bytes]) -> bytes:
        """Set the ids of the request for the log, the caller's if they are valid. Returns the request id."""
        fresh = self._new_token(_ID_BYTES + tracing.FRESH_BYTES)  # at once: each time is a call of the system
        given, received = headers.get(b"x-request-id"), headers.get(b"traceparent")
        request_id = given if given and _REQUEST_ID.fullmatch(given) else fresh[: 2 * _ID_BYTES].encode()
        tracing.request_id.set(request_id.decode())
        caller = received.decode("latin-1") if received else None
        tracing.traceparent.set(tracing.continued(caller, fresh[2 * _ID_BYTES :]))
        return request_id
