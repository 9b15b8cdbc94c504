"""`python -m bench.plain`: the API on uvicorn's own protocols, where streams are sent as ASGI events."""

import uvicorn

from entrypoints.container.parts.base import build
from entrypoints.container.parts.server import WithServer
from entrypoints.serving import options
from entrypoints.settings import Settings

if __name__ == "__main__":
    uvicorn.run(
        "entrypoints.app:create",
        factory=True,
        **{**options(build(WithServer, Settings.from_env())), "http": "httptools", "ws": "websockets-sansio"},
    )
