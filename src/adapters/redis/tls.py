"""TLS contexts that connections share: to make one takes 50 ms, in which the process does nothing else."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio.connection import RedisSSLContext, SSLConnection
from redis.exceptions import ConnectionError as ConnectionLost

from adapters.redis import answers


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


class TlsConnection(SSLConnection):
    """A part of a connection class: it shares its context, and says what may be wrong with TLS."""

    certificates: Certificates

    def _connection_arguments(self) -> Any:
        self.certificates.give(self.ssl_context)
        return super()._connection_arguments()

    async def _connect(self) -> None:
        try:
            await super()._connect()  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise ConnectionLost(f"no answer from {self._host_error()} (it may not speak TLS)") from error

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        try:
            await super().on_connect_check_health(check_health)
        except ConnectionLost as error:
            if self.ssl_context.certfile or not answers.is_loss(error):
                raise
            # Refused by TLS 1.3 only after the handshake, often without a word.
            raise ConnectionLost(f"{error} (it may require a client certificate)") from error
