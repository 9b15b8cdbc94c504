"""Checks the address of Redis, and the files with certificates that it names."""

import re
import ssl
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from common import clusters, sentinels
from entrypoints.addresses import Unusable

_ESCAPE = "in a user or password write @ : / ? # , as %40 %3A %2F %3F %23 %2C"
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


class NoMaster(Unusable):
    """The address does not say which primary the sentinels are to name."""


def check(url: str, mode: str) -> None:
    """Check an address by redis-py's rules. Raises Unusable, with a message that quotes nothing of it."""
    for each in _servers(url, mode):
        _check_server(each)


def check_files(url: str, mode: str) -> None:
    """Check the files that a checked address names. Raises Unusable."""
    for each in _servers(url, mode)[:1]:
        if each.startswith("rediss://") and urlsplit(each).query:
            _check_certificates(each)


def _servers(url: str, mode: str) -> Sequence[str]:
    """The address of each server that an address names."""
    if mode == "sentinel":
        return _of_sentinels(url)
    if mode == "cluster":
        return _of_cluster(url)
    return [url]


def _of_cluster(url: str) -> Sequence[str]:
    try:
        found = clusters.parse(url)
    except ValueError as error:
        raise Unusable(f"{error}; {_ESCAPE}") from None
    return [found.of(node) for node in found.nodes]


def _of_sentinels(url: str) -> Sequence[str]:
    """The address of Redis, and those of the sentinels."""
    try:
        found = sentinels.parse(url)
    except sentinels.NoMaster as error:
        raise NoMaster(str(error)) from None
    except ValueError as error:
        raise Unusable(f"{error}; {_ESCAPE}") from None
    return [found.server, *found.sentinels]


def _check_server(url: str) -> None:
    try:
        parsed = urlsplit(url)
        if "," in parsed.netloc.rpartition("@")[2]:
            raise Unusable("names several servers: say with BELLWIRE_REDIS_MODE what they are")
        port = parsed.port
    except ValueError:
        raise Unusable(f"has an invalid host or port; {_ESCAPE}") from None
    if parsed.scheme not in {"redis", "rediss", "unix"}:
        raise Unusable("must begin with redis://, rediss:// or unix://")
    if parsed.scheme != "unix":
        _check_host(parsed.hostname, port, parsed.path)
    elif not parsed.path:
        raise Unusable("names no socket path")
    if parsed.fragment:
        raise Unusable(f"has a #; {_ESCAPE}")
    if parsed.query:
        _check_parameters(url)


def _check_host(name: str | None, port: int | None, path: str) -> None:
    if not name:
        raise Unusable("names no host")
    if port == 0:
        raise Unusable("has an invalid port")
    if not re.fullmatch(r"/?|/[0-9]{1,5}", path):
        raise Unusable("has a path that is not a database number")


def _check_parameters(url: str) -> None:
    from redis import ConnectionPool, RedisError  # noqa: PLC0415 - slow, and most addresses have no parameters

    given = parse_qs(urlsplit(url).query)
    if any(name.startswith("ssl_") for name in given) and not url.startswith("rediss://"):
        raise Unusable("has a parameter about TLS, which needs rediss://")
    for name in sentinels.OWN:
        if name in given:
            raise Unusable(f"has the parameter {name}, which needs BELLWIRE_REDIS_MODE=sentinel")
    try:
        ConnectionPool.from_url(url).make_connection()  # does not connect yet
    except (TypeError, ValueError, RedisError):
        raise Unusable("has a parameter that redis-py does not know, or one with an invalid value") from None


def _check_certificates(url: str) -> None:
    from redis.asyncio.connection import ConnectionPool, SSLConnection  # noqa: PLC0415 - as above

    given = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    contents = {name: _read(name, given[name]) for name in _FILES if name in given}
    key = "ssl_keyfile" if given.get("ssl_keyfile") else "ssl_certfile"
    if "ssl_password" not in given and b"ENCRYPTED" in contents.get(key, b""):
        raise Unusable(
            f"the key in {given[key]} is encrypted, and there is no ssl_password"
        )  # OpenSSL would ask
    connection = ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
    if isinstance(connection, SSLConnection):
        try:
            connection.ssl_context.get()
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error
            raise Unusable(f"its certificates or the key cannot be used: {reason}") from None


def _read(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
            return file.read()
    except OSError as error:
        raise Unusable(f"{name} names {path}, which cannot be read: {error.strerror}") from None
