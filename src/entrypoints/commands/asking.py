"""Asks a process of Bellwire over HTTP."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from entrypoints.listening import authority
from entrypoints.settings import Settings

_ANSWER_SECONDS = 5.0
_MOST_BYTES = 1024 * 1024
_UNIX = "unix:"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: JSON that is an object, or nothing else."""

    status: int
    body: Mapping[str, Any]


class NoAnswer(Exception):
    """Nothing listens there, or what listens does not speak HTTP."""

    def __init__(self, reason: str, *, listening: bool) -> None:
        self.listening = listening
        """Whether something accepted the connection."""
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Health:
    """How a process is."""

    url: str
    answers: bool
    """Whether it is a process of Bellwire that answers."""
    ready: bool
    text: str
    listening: bool = True
    """Whether anything listens there."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.settimeout(self.timeout)
        try:
            opened.connect(self._path)
        except OSError:
            opened.close()
            raise
        self.sock = opened


def own(settings: Settings, port: int | None = None) -> str:
    """Where a process with these settings is: the API, or what listens on the port."""
    if settings.unix_socket and port is None:
        return f"{_UNIX}{settings.unix_socket}"
    host = _EVERYWHERE.get(settings.host, settings.host)
    return f"http://{authority(host, settings.port if port is None else port)}"


def connection(url: str, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    """A connection to a URL (`http:`, `https:`, or `unix:` and a path), not opened yet; and the path below
    which the service is. Never through a proxy that the environment names.
    """
    where = urlsplit(url)
    if where.scheme == "unix":
        return _UnixConnection(url.removeprefix(_UNIX), seconds), ""
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    return kind(where.netloc, timeout=seconds), where.path.rstrip("/")


def ask(url: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """GET a path below a URL. Raises NoAnswer."""
    asking, below = connection(url, _ANSWER_SECONDS)
    try:
        asking.connect()
    except OSError as error:
        raise NoAnswer(error.strerror or str(error) or type(error).__name__, listening=False) from error
    try:
        asking.request("GET", f"{below}{path}", headers=dict(headers or {}))
        response = asking.getresponse()
        body = response.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(str(error) or type(error).__name__, listening=True) from error
    finally:
        asking.close()
    try:
        return Answer(response.status, msgspec.json.decode(body, type=dict[str, Any]))
    except msgspec.MsgspecError:
        return Answer(response.status, {})


def health(url: str) -> Health:
    """How the process at a URL is."""
    try:
        answer = ask(url, "/health/ready")
    except NoAnswer as failure:
        return Health(url, answers=False, ready=False, text=str(failure), listening=failure.listening)
    checks = answer.body.get("checks")
    if not isinstance(checks, dict):
        return Health(url, answers=False, ready=False, text=f"answered {answer.status}, not as Bellwire does")
    wrong = [f"{name}: {text}" for name, text in checks.items() if text != "ok"]
    return Health(url, answers=True, ready=answer.status == HTTPStatus.OK, text="; ".join(wrong) or "ready")
