"""How HTTP and the live sockets are served: one place for it, whatever application it is."""

from typing import Any

from entrypoints.container import Container

MAX_FRAME_BYTES = 16 * 1024


def options(container: Container) -> dict[str, Any]:
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
