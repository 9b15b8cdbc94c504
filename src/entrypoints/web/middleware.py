"""What every request passes, also one that no route answers: ids for the log, security headers, metrics."""

import logging
import re
from collections.abc import Awaitable, Mapping
from functools import cache
from typing import Any

from litestar import Litestar
from litestar.types import ASGIApp, Receive, Scope, Send

from application.ports import Chance, Monotonic
from common import metrics, tracing
from common.exchanges import ANSWER, fields_of
from common.security_headers import SECURITY_LINES, secured
from entrypoints.web import limits
from entrypoints.web.hosts import KnownHosts
from entrypoints.web.traced import Traced

logger = logging.getLogger("bellwire.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ID_DIGITS = 16
_FRESH_DIGITS = _ID_DIGITS + 2 * tracing.FRESH_BYTES
_FRESH_BITS, _IN_DIGITS = 4 * _FRESH_DIGITS, f"%0{_FRESH_DIGITS}x"
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})


def fronted(
    app: Litestar,
    *,
    log: bool,
    hosts: frozenset[str],
    now: Monotonic,
    chance: Chance,
    tracer: tracing.Tracer | None = None,
) -> Litestar:
    """Put Observed before an application, Traced if there is a tracer, and KnownHosts if hosts are given. The
    framework's own middleware would not see a request that no route answers (404, 405).
    """
    inner: ASGIApp = KnownHosts(app.asgi_handler, hosts) if hosts else app.asgi_handler
    if tracer is not None:
        inner = Traced(inner, tracer)
    app.asgi_handler = Observed(inner, log=log, now=now, chance=chance)
    return app


class Observed:
    """Gives each request its ids and its answer the security headers, and measures and logs the answer.

    Plain ASGI, because every request passes it: it costs about ten microseconds.
    """

    def __init__(self, app: ASGIApp, *, log: bool, now: Monotonic, chance: Chance) -> None:
        """`chance` makes the ids, which are no secrets."""
        self._app = app
        self._log = log
        self._now = now
        self._chance = chance
        self._histogram = cache(metrics.HTTP.labels)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Neither this nor what it sends with is a coroutine: each would be another one to resume."""
        request_id = self._identify(fields_of(scope))
        started = self._now()

        def observed_send(message: Any) -> Awaitable[None]:
            if message["type"] == ANSWER:
                limited = limits.header_lines(scope)
                ours = b"%b%bx-request-id: %b\r\n" % (SECURITY_LINES, limited, request_id)
                message["head"] += ours
                self._observe(scope, message["status"], self._now() - started)
            elif message["type"] in _STARTS:
                message["headers"] = [
                    *secured(message["headers"]),
                    *limits.headers(scope),
                    (b"x-request-id", request_id),
                ]
                self._observe(scope, message["status"], self._now() - started)
            return send(message)

        return self._app(scope, receive, observed_send)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope.get("method", "GET")
        route = scope.get("path_template") or "none"
        # Anybody may invent methods, and each would be a time series.
        self._histogram(method if method in _METHODS else "other", route, status).observe(seconds)
        if self._log:
            logger.info("%s %s %d", method, scope["path"], status, extra={"seconds": round(seconds, 6)})

    def _identify(self, fields: Mapping[bytes, bytes]) -> bytes:
        """Set the ids of the request for the log, the caller's if they are valid. Returns the request id."""
        fresh = _IN_DIGITS % self._chance.getrandbits(_FRESH_BITS)
        given, received = fields.get(b"x-request-id"), fields.get(b"traceparent")
        request_id = fresh[:_ID_DIGITS]
        if given and _REQUEST_ID.fullmatch(given):
            request_id = given.decode()
        tracing.request_id.set(request_id)
        caller = received.decode("latin-1") if received else None
        tracing.traceparent.set(tracing.continued(caller, fresh[_ID_DIGITS:]))
        return request_id.encode()
