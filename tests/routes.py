"""Every route of an application, with what it declares about who may call it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from litestar import Litestar
from litestar.handlers import BaseRouteHandler
from litestar.routes import ASGIRoute, HTTPRoute, WebSocketRoute

from application.credentials import Scope
from tests.build import an_id
from tests.wiring import Service

# What the parameters of paths are filled in with. A new kind of parameter needs a line here.
SAMPLES = {
    "user_id": "ada",
    "notification_id": str(an_id()),
    "erasure_id": str(an_id()),
    "action": "approve",
    "key_id": "0a1b2c3d4e5f",
    "category_id": "billing",
    "file": "v1.js",
    "file_path": "swagger-ui.css",
    "path": "x",
}
SCOPES = sorted(value for name, value in vars(Scope).items() if name.isupper())
_PARAMETER = re.compile(r"\{(\w+):\w+\}")


@dataclass(frozen=True)
class Route:
    """A method of a path; for a WebSocket the method is `WS`."""

    method: str
    template: str
    handler: BaseRouteHandler

    @property
    def guards(self) -> list[Any]:
        return list(self.handler.resolve_guards())

    @property
    def is_users(self) -> bool:
        """Whether the path belongs to a user."""
        return "{user_id:" in self.template

    def path(self, **parameters: str) -> str:
        return _PARAMETER.sub(lambda match: (SAMPLES | parameters)[match[1]], self.template)

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def routes(app: Litestar) -> list[Route]:
    """Everything that the application answers, apart from OPTIONS, which the framework answers itself."""
    return sorted(set(_routes(app)), key=str)


def _routes(app: Litestar) -> Iterator[Route]:
    for route in app.routes:
        match route:
            case HTTPRoute():
                for handler in route.route_handlers:
                    for method in handler.http_methods - {"OPTIONS"}:
                        yield Route(method, route.path, handler)
            case WebSocketRoute():
                yield Route("WS", route.path, route.route_handler)
            case ASGIRoute():
                yield Route("ASGI", route.path, route.route_handler)


async def a_key(service: Service, *scopes: str, **changes: Any) -> str:
    """The text of a key, which may have changed since it was made."""
    key, text = await service.container.create_api_key()("key", frozenset({*scopes, Scope.READ}))
    await service.memory.api_keys.add(replace(key, scopes=frozenset(scopes), **changes))
    return text
