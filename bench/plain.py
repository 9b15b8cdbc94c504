"""The API on uvicorn's own protocols, where streams are sent as ASGI events."""

import uvicorn

from entrypoints.container.parts.base import build
from entrypoints.container.parts.server import WithServer
from entrypoints.serving import options
from entrypoints.settings import Settings


def main() -> None:
    """Serve until a signal."""
    uvicorn.run(
        "entrypoints.app:create",
        factory=True,
        **{**options(build(WithServer, Settings.from_env())), "http": "httptools", "ws": "websockets-sansio"},
    )
