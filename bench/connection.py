"""One HTTP connection. Of an answer only the status and the length are parsed."""

import asyncio
from typing import Any, Protocol


class Load(Protocol):
    """Provides requests and receives answers."""

    def next(self) -> tuple[float, bytes] | None: ...

    def answered(self, since: float, status: bytes, answer: bytes) -> None: ...

    def rest(self, connection: "Connection") -> None: ...

    def lost(self, error: Exception | None) -> None: ...


class Connection(asyncio.Protocol):
    """Sends one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._since = 0.0
        self._closing = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def proceed(self) -> None:
        """Send the next request, or wait."""
        found = self._load.next()
        if found is None:
            self._load.rest(self)
            return
        self._since, wanted = found
        self._transport.write(wanted)

    def data_received(self, data: bytes) -> None:
        self._got = got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        length = got[:end].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(got) >= end + 4 + int(length or 0):
            self._got = b""
            self._load.answered(self._since, got[9:12], got)
            self.proceed()

    def close(self) -> None:
        """Close it; this does not count as lost."""
        self._closing = True
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closing:
            self._load.lost(error)
