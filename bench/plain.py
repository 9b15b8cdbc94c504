"""`python -m bench.plain`: the API on a WebSocket of uvicorn: streams are written to as ASGI has it."""

import uvicorn

from entrypoints.container import build
from entrypoints.serving import options
from entrypoints.settings import Settings

if __name__ == "__main__":
    uvicorn.run(
        "entrypoints.app:create",
        factory=True,
        **{**options(build(Settings.from_env())), "ws": "websockets-sansio"},
    )
