"""TLS contexts that connections share: to make one takes 50 ms, in which the process does nothing else."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio.connection import RedisSSLContext


class Certificates:
    """The context of a process, which is made anew when a file with a certificate or key is replaced."""

    def __init__(self) -> None:
        self._made: ssl.SSLContext | None = None
        self._times: Sequence[int] | None = None

    def give(self, to: RedisSSLContext) -> None:
        """Give a connection its context. Raises OSError if the files cannot be used. If they could be used
        before, the old ones go on: whoever replaces them does not replace all at the same moment.
        """
        try:
            times = [Path(name).stat().st_mtime_ns for name in _files(to)]
            if times != self._times:
                to.context = None
                self._made, self._times = to.get(), times
        except OSError:
            if self._made is None:
                raise
        to.context = self._made


def _files(context: RedisSSLContext) -> Sequence[str]:
    return [name for name in (context.ca_certs, context.certfile, context.keyfile) if name]


class TlsConnection:
    """A part of a connection class: redis-py's makes a context for each connection."""

    certificates: Certificates
    ssl_context: RedisSSLContext

    def _connection_arguments(self) -> Any:
        self.certificates.give(self.ssl_context)
        return super()._connection_arguments()  # type: ignore[misc]
