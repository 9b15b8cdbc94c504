"""Listening sockets: the same way for one process, for several workers, and for a consumer's health."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from entrypoints.settings import InvalidSettings, Settings

_ANSWER_SECONDS = 1.0
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def authority(host: str, port: int) -> str:
    """Host and port as in a URL (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def api_place(settings: Settings) -> str:
    """Where the API listens: `http://host:port`, or `unix:` and a path."""
    return (
        f"unix:{settings.unix_socket}"
        if settings.unix_socket
        else f"http://{authority(settings.host, settings.port)}"
    )


def api_sockets(settings: Settings) -> AbstractContextManager[list[socket.socket]]:
    """The sockets of the API. Raises InvalidSettings, naming the variable."""
    if settings.unix_socket:
        return unix_socket(Path(settings.unix_socket), int(settings.unix_socket_mode, 8))
    return listening_sockets(settings.host, settings.port, "BELLWIRE_PORT")


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


# --- a socket file ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def unix_socket(path: Path, mode: int) -> Iterator[list[socket.socket]]:
    """A socket that listens at a path, with these permissions; removed at the end. A file that a killed
    process left there is replaced. Raises InvalidSettings.
    """
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        own = _listen_at(one, path, mode)
        try:
            yield [one]
        finally:
            with contextlib.suppress(OSError):
                if path.lstat().st_ino == own:
                    path.unlink()
    finally:
        one.close()


def _listen_at(one: socket.socket, path: Path, mode: int) -> int:
    """Listen at a path. Returns the number of its inode. Raises InvalidSettings."""
    try:
        with _alone_in(path.parent):
            _remove_left_over(path)
            one.bind(str(path))
            path.chmod(mode)  # nobody can connect yet
            one.listen()
            one.set_inheritable(True)  # for workers
            return path.lstat().st_ino
    except OSError as error:
        raise InvalidSettings(
            f"BELLWIRE_UNIX_SOCKET: cannot listen on {path}: {error.strerror or error}"
        ) from error


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep out others that do the same: two could find the same file left over, and the second would remove
    the socket of the first.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _remove_left_over(path: Path) -> None:
    """Remove a socket on which nobody listens. Raises OSError if there is anything else."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(errno.EEXIST, "it is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_ANSWER_SECONDS)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:  # its queue is full
            pass
    raise FileExistsError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
