"""Checks addresses and names in settings. The libraries that use them report mistakes late: at the first
connection, with a traceback, or never.

Each function raises Unusable. Its message never quotes a value that may hold a password.
"""

import ipaddress
import os
import re
from urllib.parse import urlsplit

from common import postgres_address

_PORTS = range(1, 65536)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,245}")
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_SOCKET_PATH_BYTES = 107
"""Of Linux (unix(7)), without the zero at the end."""
_OWN_PATHS = {"demo", "drain", "element", "health", "metrics", "schema", "sse", "v1", "ws"}
"""What the first part of a path of the service may be, but for the aliases."""


class Unusable(Exception):
    """A value cannot be used; the message says why."""


def postgres_url(url: str) -> None:
    """Check the address of PostgreSQL, and that the files are there that it names."""
    for name, path in postgres_address.read(url).files:
        if not os.path.isfile(path):  # noqa: PTH113 - pathlib takes long to import
            raise Unusable(f"has {name}={path}, and there is no such file")


def listed(text: str) -> list[str]:
    """The parts of a list that is separated by spaces or commas."""
    return text.replace(",", " ").split()


def hosts(names: str) -> None:
    """Check names or addresses without a scheme or a port."""
    for name in listed(names):
        if not (_HOST.fullmatch(name) or _is_ipv6(name)):
            raise Unusable(f"{name!r} must be a name or an address, without a scheme, port or path")


def root_path(path: str) -> None:
    """Check the path below which a proxy serves everything."""
    if not _ROOT_PATH.fullmatch(path):
        raise Unusable("must be a path such as /bell, of A-Z a-z 0-9 . _ ~ -, without a slash at the end")
    if path.split("/")[1:2] and path.split("/")[1] in _OWN_PATHS:
        raise Unusable(f"/{path.split('/')[1]} is a path of the service itself")


def unix_socket(path: str) -> None:
    """Check the path of a socket file by the kernel's rules."""
    if path and not path.startswith("/"):
        raise Unusable("must be a path that begins with /, without unix:")
    if len(path.encode()) > _SOCKET_PATH_BYTES or "\0" in path:
        raise Unusable(f"must be a path of at most {_SOCKET_PATH_BYTES} bytes")


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
    if "://" in where:
        secure_url(where, "is neither a path nor a URL such as https://example.com/jwks.json")


def secure_url(where: str, otherwise: str = "is not a URL such as https://example.com/token") -> None:
    """Check an https URL; http only on this machine."""
    try:
        url = urlsplit(where)
        usable = bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not where.isascii() or "@" in url.netloc or url.fragment:
        raise Unusable(otherwise)
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
        raise Unusable("must begin with https:// (http:// only for this machine)")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
