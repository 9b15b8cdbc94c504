"""Checks addresses and names in settings. The libraries that use them report mistakes late: at the first
connection, with a traceback, or never.

Each function raises Unusable. Its message never quotes a value that may hold a password.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_PORTS = range(1, 65536)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,245}")
# Certainly valid: nothing is escaped, there are no parameters, and the port has at most four digits.
_PLAIN_POSTGRES = re.compile(
    r"postgresql\+asyncpg://[A-Za-z0-9_.-]+(:[A-Za-z0-9_.~-]+)?@[A-Za-z0-9.-]+(:[1-9][0-9]{0,3})?/[A-Za-z0-9_-]+"
)
_ESCAPE = "in a user or password write @ : / ? # as %40 %3A %2F %3F %23"
# Those of asyncpg whose value can be given as text, and those of SQLAlchemy.
_POSTGRES_PARAMETERS = {
    "host", "port", "user", "password", "database", "passfile", "service", "servicefile", "ssl", "direct_tls",
    "target_session_attrs", "krbsrvname", "gsslib", "prepared_statement_cache_size",
}  # fmt: skip
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_POSTGRES_SCHEMES = "postgresql://, postgres:// or postgresql+asyncpg://"


class Unusable(Exception):
    """A value cannot be used; the message says why."""


def postgres_url(url: str) -> None:
    """Check the address of PostgreSQL by SQLAlchemy's rules for asyncpg."""
    if _PLAIN_POSTGRES.fullmatch(url):
        return  # without SQLAlchemy, which many commands do not need
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - see above
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    if not url.startswith("postgresql+asyncpg://"):
        raise Unusable(f"must begin with {_POSTGRES_SCHEMES}")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise Unusable(f"has an invalid port; {_ESCAPE}") from None
    if parsed.port is not None and parsed.port not in _PORTS:
        raise Unusable("has an invalid port")
    if not (parsed.host or parsed.query.get("host")):
        raise Unusable("names no host")
    if "@" in (parsed.host or ""):
        raise Unusable(f"has two @; {_ESCAPE}")
    _check_postgres_parameters(parsed.query)


def _check_postgres_parameters(given: Mapping[str, object]) -> None:
    for name in given:
        if name not in _POSTGRES_PARAMETERS:
            hint = " (sslmode is called ssl)" if name == "sslmode" else ""
            raise Unusable(f"has the parameter {name!r}, which asyncpg cannot use{hint}")
    if given.get("ssl", "prefer") not in _SSL_MODES:
        raise Unusable(f"has a value of ssl other than {', '.join(_SSL_MODES)}")


def listed(text: str) -> list[str]:
    """The parts of a list that is separated by spaces or commas."""
    return text.replace(",", " ").split()


def hosts(names: str) -> None:
    """Check names or addresses without a scheme or a port."""
    for name in listed(names):
        if not (_HOST.fullmatch(name) or _is_ipv6(name)):
            raise Unusable(f"{name!r} must be a name or an address, without a scheme, port or path")


def bootstrap(servers: str) -> None:
    """Check broker addresses: `host:port`, separated by commas."""
    for server in servers.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal() or int(port[:6]) not in _PORTS:
            raise Unusable("must be host:port, or several of them separated by commas")
        if not (_HOST.fullmatch(host) or _is_ipv6(host)):
            raise Unusable("must have a name or an address before each port, without a scheme")


def topic(name: str) -> None:
    """Check a topic name by Kafka's rules, with room for `.dlq` behind it."""
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise Unusable("must be 1 to 245 of A-Z a-z 0-9 . _ -")


def group(name: str) -> None:
    """Check a group name. Kafka allows nearly anything, but nobody finds a group that begins with a space."""
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= 255:
        raise Unusable("must be 1 to 255 printable characters, without spaces around them")


def prefix(name: str) -> None:
    """Check the prefix of the keys in Redis. It becomes part of a pattern, in which some characters are
    special.
    """
    if not re.fullmatch(r"[!-~]{1,100}", name) or re.search(r"[*?\[\]\\{}]", name):
        raise Unusable(r"must be 1 to 100 of ASCII, without spaces and * ? [ ] { } \ ")


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return host.startswith("[") and host.endswith("]")


def key_set(where: str) -> None:
    """Check where a JWK Set is: a path, or an https URL; http only on this machine."""
    if "://" not in where:
        return
    try:
        url = urlsplit(where)
        usable = bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not where.isascii() or "@" in url.netloc or url.fragment:
        raise Unusable("is neither a path nor a URL such as https://example.com/jwks.json")
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
        raise Unusable("must begin with https:// (http:// only for this machine)")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
