"""Serves HTTP and live streams with uvicorn, for every application."""

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.importer import import_from_string
from uvicorn.supervisors import Multiprocess

from entrypoints.container.parts.server import WithServer
from entrypoints.listening import api_sockets

MAX_FRAME_BYTES = 16 * 1024
BACKLOG = 65_535
"""How many connections may wait to be accepted, where the kernel's own limit (somaxconn) is not lower. Those
beyond are dropped, of honest clients too, who try again only after 1, 3 and 7 s."""
_APPLICATION = "entrypoints.app:create"


def options(container: WithServer) -> dict[str, Any]:
    """The options of `uvicorn.run` and `uvicorn.Config`, apart from the application."""
    settings = container.settings()
    return {
        "host": settings.host,
        "port": settings.port,
        "backlog": BACKLOG,
        "workers": settings.workers,
        "interface": "asgi3",
        "http": container.http_protocol(),
        "ws": container.stream_protocol(),
        "ws_max_size": MAX_FRAME_BYTES,
        "ws_per_message_deflate": False,
        # Streams have pings of their own, which code in a browser can see.
        "ws_ping_interval": None,
        "log_config": None,
        "access_log": False,
        "timeout_keep_alive": settings.keep_alive_seconds,
        "server_header": False,
        # uvicorn would believe what any process on this machine says: see entrypoints.web.client.
        "proxy_headers": False,
        "timeout_graceful_shutdown": 8,
    }


def run(container: WithServer) -> None:
    """Serve the API until SIGTERM or SIGINT. Raises InvalidSettings if it cannot listen."""
    config = uvicorn.Config(_APPLICATION, factory=True, **options(container))
    with api_sockets(container.settings()) as sockets:
        if config.workers > 1:
            with TemporaryDirectory(prefix="bellwire-") as folder:  # only this user can open it
                config.app = partial(_worker, folder)
                _Supervisor(config, sockets).run()
            return
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):  # raised again by uvicorn after the shutdown
            server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _worker(folder: str) -> Any:
    """The application of one worker, imported only there."""
    return import_from_string(_APPLICATION)(folder)


class _Supervisor(Multiprocess):
    """uvicorn's supervisor, which would ignore a second signal while it waits for its workers to end."""

    def terminate_all(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hasten)
        super().terminate_all()

    def _hasten(self, _number: int, _frame: FrameType | None) -> None:
        for process in self.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGINT)
