"""Hosts: connects to one of the servers that an address names."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from adapters.postgres import tls
from adapters.postgres.states import reason
from common.postgres_address import PostgresAddress

# After these asyncpg tries the next host by itself; but one that does not answer would use up the time of
# all. libpq gives each host its own:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
_NEXT = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)


class Hosts:
    """Connects to the first suitable host, beginning with the last one that was."""

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self._last: tuple[str, int] | None = None

    async def connect(self, **options: Any) -> "asyncpg.Connection[Any]":
        """Connect as asyncpg.connect does. Without a connect_timeout, each host gets a share of the time."""
        several = sorted(self._address.hosts, key=lambda host: host != self._last)
        options |= self._arguments()
        options["server_settings"] = {**options.get("server_settings", {}), **self._address.startup}
        options["timeout"] = self._address.connect_seconds or options["timeout"] / len(several)
        try:
            if len(several) == 1:
                ((host, port),) = several
                return await asyncpg.connect(**options, host=host, port=port)
            return await self._first(several, options)
        except ssl.SSLError as error:
            raise _named(error, self._address) from error

    def _arguments(self) -> Mapping[str, Any]:
        try:
            return _arguments(self._address)
        except OSError as error:  # of its files
            raise _named(error, self._address) from error

    async def _first(
        self, several: Sequence[tuple[str, int]], options: Mapping[str, Any]
    ) -> "asyncpg.Connection[Any]":
        failed = []
        for host, port in several:
            try:
                connection = await asyncpg.connect(**options, host=host, port=port)
            except _NEXT as error:
                failed.append(f"{host}:{port}: {reason(error)}")
            else:
                self._last = host, port
                return connection
        raise ConnectionError("; ".join(failed))


def _arguments(address: PostgresAddress) -> Mapping[str, Any]:
    """asyncpg's, but for those of one host."""
    given = {
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "target_session_attrs": address.target_session_attrs,
        "direct_tls": address.direct or None,
        **address.driver,
        **tls.arguments(address.tls),
    }
    return {name: value for name, value in given.items() if value is not None}


def _named(error: OSError, address: PostgresAddress) -> OSError:
    """The error, with the file's name where a file is the cause."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error
    text = tls.unusable_file(address.tls)
    return ConnectionError(text) if text else error
