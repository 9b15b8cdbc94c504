"""Listening sockets: the same way for one process, for several workers, and for a consumer's health."""

import contextlib
import errno
import socket
from collections.abc import Iterator

from entrypoints.settings import InvalidSettings

_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def authority(host: str, port: int) -> str:
    """Host and port as in a URL (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def listening_sockets(host: str, port: int, port_variable: str) -> Iterator[list[socket.socket]]:
    """Sockets that are bound to every address of a host, closed at the end. `::` accepts IPv4 as well:
    asyncio would accept only IPv6 there, and uvicorn's workers what the machine's default says.

    Raises InvalidSettings, naming the variable.
    """
    found: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            with contextlib.suppress(_NotHere):  # a name may also have addresses of other machines
                found.append(_bind(family, address, port_variable))
        if not found:
            raise InvalidSettings(f"BELLWIRE_HOST: {host} is not an address of this machine")
        yield found
    finally:
        for one in found:
            one.close()


class _NotHere(Exception):
    """An address that this machine does not have."""


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidSettings(
            f"BELLWIRE_HOST: {host} is neither a known name nor an address: {error}"
        ) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # type: ignore[misc]


def _bind(family: int, address: tuple[str, int], port_variable: str) -> socket.socket:
    one: socket.socket | None = None
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        one.bind(address)
    except OSError as error:
        if one is not None:
            one.close()
        if error.errno in _NOT_HERE:
            raise _NotHere from error
        where = authority(*address[:2])
        raise InvalidSettings(f"{port_variable}: cannot listen on {where}: {error.strerror}") from error
    one.set_inheritable(True)  # for workers
    return one
