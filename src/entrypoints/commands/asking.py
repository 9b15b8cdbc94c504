"""Asks a process of Bellwire over HTTP."""

import http.client
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


def own(settings: Settings, port: int | None = None) -> str:
    """The URL of a process with these settings: the API, or what listens on the port."""
    host = _EVERYWHERE.get(settings.host, settings.host)
    return f"http://{authority(host, settings.port if port is None else port)}"


def ask(url: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """GET a path below a URL. Raises NoAnswer."""
    where = urlsplit(url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.connect()
    except OSError as error:
        raise NoAnswer(error.strerror or str(error) or type(error).__name__, listening=False) from error
    try:
        connection.request("GET", f"{where.path.rstrip('/')}{path}", headers=dict(headers or {}))
        response = connection.getresponse()
        body = response.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(str(error) or type(error).__name__, listening=True) from error
    finally:
        connection.close()
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
