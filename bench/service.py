"""A measured process."""

import http.client
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil

from workbench.embedded import LOOPBACK, Server, started


class Service(Server):
    """A process that answers HTTP, and its cost."""

    def __init__(
        self, name: str, words: Sequence[str], port: int, *, ready: str = "/health/ready", **options: Any
    ) -> None:
        super().__init__(name, [sys.executable, "-m", *words], **options)
        self.port = port
        self._ready = ready

    def answers(self) -> bool:
        return self.get(self._ready)[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Send a GET; return the status and the body, status 0 if it does not answer."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def cpu(self) -> float:
        """Processor seconds so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Run it, without printing anything."""
    with started(service, lambda _line: None):
        yield service


def clean_environment() -> dict[str, str]:
    """The environment without Bellwire's variables of a person's shell."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BELLWIRE_")}
