"""Traced: a span for each request."""

from collections.abc import Mapping
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from common import tracing
from common.exchanges import ANSWER, fields_of
from common.tracing import Span, Tracer

_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD"})
_STREAM = b"text/event-stream"
_STARTS = frozenset({"http.response.start", ANSWER})
_UNTRACED = ("/health", "/metrics")
"""What machines ask every few seconds."""


class Traced:
    """Answers each request in a span, below that of the caller. Only where tracing is on.

    A stream of events is over with its first byte: a span that lasts for days would help nobody. Sockets have
    no span, and what their clients ask for is not below the one with which they were opened.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            tracing.traceparent.set(None)
            await self._app(scope, receive, send)
        elif scope["path"].startswith(_UNTRACED):
            await self._app(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        received = fields_of(scope).get(b"traceparent", b"").decode("latin-1")
        span = self._tracer.begin(
            method,
            "server",
            parent=tracing.accepted(received),
            attributes={"http.request.method": method, "url.scheme": scope["scheme"]},
        )

        async def traced_send(message: Any) -> None:
            if message["type"] in _STARTS:
                _note(span, method, scope.get("path_template"), message)
            await send(message)

        with tracing.within(span):
            await self._app(scope, receive, traced_send)


def _note(span: Span, method: str, route: str | None, message: Mapping[str, Any]) -> None:
    status = message["status"]
    span.note({"http.response.status_code": status, **({"http.route": route} if route else {})})
    if route:
        span.rename(f"{method} {route}")
    if status >= 500:
        span.fail(str(status))
    if any(
        name == b"content-type" and value.startswith(_STREAM) for name, value in message.get("headers", ())
    ):
        span.end()
