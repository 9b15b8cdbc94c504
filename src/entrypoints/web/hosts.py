"""The hosts by which clients may address the service."""

from collections.abc import Iterable, Mapping
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from common import wire
from entrypoints.web.locations import own_path
from entrypoints.web.problems import MEDIA_TYPE, type_uri

_EXEMPT = ("/health/", "/metrics", "/drain")
_PROBLEM = wire.encode(
    {
        "type": type_uri("unknown-host"),
        "title": "Unknown host",
        "status": 421,
        "detail": "This service does not answer under the name in the Host header.",
    }
)


class KnownHosts:
    """Refuses requests whose Host header does not name one of `hosts`: a page whose name was bound to this
    address (DNS rebinding), a proxy that forwards anything. A host matches with and without a port.

    What serves the operator answers under any name: load balancers, Prometheus and `bellwire drain` use
    addresses.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_known(scope):
            await self._app(scope, receive, send)
            return
        kind = "http.response" if scope["type"] == ScopeType.HTTP else "websocket.http.response"
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(_PROBLEM)).encode()),
        ]
        start: Any = {"type": f"{kind}.start", "status": 421, "headers": headers}
        end: Any = {"type": f"{kind}.body", "body": _PROBLEM}
        await send(start)
        await send(end)

    def _is_known(self, scope: Mapping[str, Any]) -> bool:
        return _hosts_of(scope["headers"]) <= self._hosts or own_path(scope).startswith(_EXEMPT)


def _hosts_of(headers: Iterable[tuple[bytes, bytes]]) -> set[str]:
    """The names in all Host headers, as RFC 3986 §3.2.2 compares them, without ports."""
    named = {value.decode("latin-1").lower() for name, value in headers if name == b"host"}
    return {_without_port(host) for host in named} or {""}


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdecimal() or not port) else host
