"""The part of processes that serve HTTP."""

import asyncio

from dependency_injector import providers

from adapters.websocket.http import HttpProtocol
from adapters.websocket.protocol import StreamProtocol
from entrypoints.container.parts.base import Base


class WithServer(Base):
    """The server's connections."""

    http_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(HttpProtocol)
    stream_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(StreamProtocol)
