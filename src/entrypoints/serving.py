"""How HTTP and the live sockets are served: one place for it, whatever application it is."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from entrypoints.container.parts.server import WithServer
from entrypoints.listening import bound

MAX_FRAME_BYTES = 16 * 1024
_APPLICATION = "entrypoints.app:create"


def options(container: WithServer) -> dict[str, Any]:
    """What `uvicorn.run` and `uvicorn.Config` are told, other than the application."""
    settings = container.settings()
    return {
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "http": container.http_protocol(),
        "ws": container.stream_protocol(),
        "ws_max_size": MAX_FRAME_BYTES,
        "ws_per_message_deflate": False,
        # The stream has pings of its own, which a browser's code can see.
        "ws_ping_interval": None,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": 8,
    }


def run(container: WithServer) -> None:
    """Serve the API until SIGTERM or SIGINT. Raises InvalidSettings if it cannot listen."""
    settings = container.settings()
    config = uvicorn.Config(_APPLICATION, factory=True, **options(container))
    with bound(settings.host, settings.port, "BELLWIRE_PORT") as sockets:
        if config.workers > 1:
            _Supervisor(config, sockets).run()
            return
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):  # which it raises again when all is done
            server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


class _Supervisor(Multiprocess):
    """uvicorn's, which would not hear a second signal while it waits for its workers to end."""

    def terminate_all(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hasten)
        super().terminate_all()

    def _hasten(self, _number: int, _frame: FrameType | None) -> None:
        for process in self.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGINT)
