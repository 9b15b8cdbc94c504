"""The part of processes that serve HTTP."""

import asyncio
from collections.abc import Callable

from dependency_injector import providers

from adapters.websocket.http import HttpProtocol
from adapters.websocket.protocol import StreamProtocol
from entrypoints import loop
from entrypoints.container.parts.base import Base


class WithServer(Base):
    """The server's connections."""

    tune_gc: providers.Provider[Callable[[], None]] = providers.Object(loop.tune_gc)
    http_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(HttpProtocol)
    stream_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(StreamProtocol)
