"""An application of a test's own behind the server that the product has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from entrypoints.container import Container
from entrypoints.embedded import LOOPBACK
from entrypoints.serving import options
from entrypoints.soak.waiting import eventually


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    server: uvicorn.Server

    @property
    def address(self) -> str:
        """Host and port."""
        host, port = self.server.servers[0].sockets[0].getsockname()
        return f"{host}:{port}"

    @property
    def connections(self) -> int:
        """How many it holds, of HTTP and of sockets."""
        return len(self.server.server_state.connections)

    @property
    def tasks(self) -> int:
        """How many calls of the application go on."""
        return len(self.server.server_state.tasks)


@asynccontextmanager
async def served(app: Any, container: Container, **changed: Any) -> AsyncIterator[Served]:
    """Serve as the product does, but for what is changed. In a thread: it has an event loop of its own."""
    own = {"host": LOOPBACK, "port": 0, "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(app, **options(container) | own | changed))
    running = asyncio.create_task(asyncio.to_thread(server.run))
    try:
        await eventually(lambda: server.started or running.done(), "the server has started")
        yield Served(server)
    finally:
        server.should_exit = True
        await running


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application: says back on a socket what it hears, and `hello` over HTTP."""
    if scope["type"] == "http":
        await say_hello(send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (heard := await receive())["type"] == "websocket.receive":
        await send({**heard, "type": "websocket.send"})


async def say_hello(send: Any) -> None:
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})
