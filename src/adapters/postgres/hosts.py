"""Hosts: connects to one of the servers that an address names."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import asyncpg

from adapters.postgres.states import reason
from common.postgres_address import SYSTEM, PostgresAddress

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
        options |= _arguments(self._address)
        options["server_settings"] = {**options.get("server_settings", {}), **self._address.startup}
        options["timeout"] = self._address.connect_seconds or options["timeout"] / len(several)
        if len(several) == 1:
            ((host, port),) = several
            return await asyncpg.connect(**options, host=host, port=port)
        return await self._first(several, options)

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


def _arguments(address: PostgresAddress) -> dict[str, Any]:
    """asyncpg's, but for those of one host."""
    given = {
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "target_session_attrs": address.target_session_attrs,
        "direct_tls": address.direct or None,
        **address.driver,
        **_tls(address.tls),
    }
    return {name: value for name, value in given.items() if value is not None}


def _tls(wanted: Mapping[str, str]) -> Mapping[str, Any]:
    """For each connection anew, so that certificates may be replaced at any time."""
    if wanted.get("sslrootcert") == SYSTEM:
        return {"ssl": _system_context(wanted)}
    # asyncpg reads the files, and what PGSSL… and ~/.postgresql have of the rest, from an address only.
    return {"dsn": f"postgresql://?{urlencode(wanted)}"} if wanted else {}


def _system_context(wanted: Mapping[str, str]) -> ssl.SSLContext:
    """Verify the server by the authorities that the system trusts, and by its name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_default_verify_paths()
    context.set_alpn_protocols(["postgresql"])
    context.minimum_version = _version(wanted.get("ssl_min_protocol_version", "TLSv1.2"))
    if "ssl_max_protocol_version" in wanted:
        context.maximum_version = _version(wanted["ssl_max_protocol_version"])
    if "sslcrl" in wanted:
        context.load_verify_locations(wanted["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in wanted:
        context.load_cert_chain(wanted["sslcert"], wanted.get("sslkey"), wanted.get("sslpassword", ""))
    return context


def _version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]
