"""What a process has that answers over HTTP."""

import asyncio
from collections.abc import Callable

from dependency_injector import providers

from adapters.websocket.http import HttpProtocol
from adapters.websocket.protocol import StreamProtocol
from entrypoints.container.parts.base import Base
from entrypoints.loop import calm_collector


class WithServer(Base):
    """The connections of the server."""

    tune_gc: providers.Provider[Callable[[], None]] = providers.Object(calm_collector)
    http_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(HttpProtocol)
    stream_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(StreamProtocol)
