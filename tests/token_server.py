"""Tokens without a signature, and a server that gives them: what Kafka takes for tests."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workbench.embedded import LOOPBACK


def token(subject: str, seconds: float = 3600) -> str:
    """An unsigned token, which the broker of these tests takes."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": now + seconds})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"{'.'.join(encoded)}."


class TokenServer:
    """An authorization server (RFC 6749) whose tokens live for some seconds."""

    def __init__(self, subject: str, seconds: float) -> None:
        self._subject = subject
        self._seconds = seconds
        self.forms: list[str] = []
        """What was asked."""
        self.credentials: set[str] = set()
        self.status = 200

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Until the block is left, at this URL."""
        server = await asyncio.start_server(self._answer, LOOPBACK)
        async with server:
            yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/token"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        assert length
        self.forms.append((await reader.readexactly(int(length[1]))).decode())
        basic = re.search(r"(?i)authorization: basic (\S+)", head)
        assert basic
        self.credentials.add(base64.b64decode(basic[1]).decode())
        given = {"access_token": token(self._subject, self._seconds), "expires_in": self._seconds}
        body = json.dumps(given if self.status == 200 else {"error": "invalid_client"})
        head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()
