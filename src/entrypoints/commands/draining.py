"""`bellwire drain`: takes an API process out of service, and waits until its streams have ended."""

import argparse
import http.client
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from application.ports import Monotonic
from domain.identifiers import UserId
from entrypoints.commands.asking import connection, own
from entrypoints.commands.output import Output, add_json, status
from entrypoints.container.parts.base import build
from entrypoints.container.parts.tokens import WithTokens
from entrypoints.settings import InvalidSettings, Settings
from entrypoints.web.drain import PATH, Draining

_LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 10.0
_MARGIN_SECONDS = 15.0
_OPERATOR = UserId("operator")

_read_problem = msgspec.json.Decoder(dict[str, object]).decode


class NotDrained(Exception):
    """The process could not be drained, or not in time. The command prints the message."""


def drain(parser: argparse.ArgumentParser) -> None:
    """Take an API process out of service."""
    parser.add_argument("--url", type=_address, help="of the process (default: the one on this machine)")
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="how long at most (default: what a drain takes)"
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = Settings.for_serving()
    container = build(WithTokens, settings)
    tokens = container.operator_tokens()
    if tokens is None:
        raise InvalidSettings("BELLWIRE_OPERATOR_SECRET: is needed, the same as in the process to drain")

    def token() -> str:
        return tokens.mint(_OPERATOR, container.clock()())[0]

    usual = settings.drain_delay_seconds + settings.drain_seconds + _MARGIN_SECONDS
    wait = usual if arguments.wait is None else arguments.wait
    try:
        _drain(arguments.url or own(settings), token, wait, container.now(), Output.of(arguments))
    except NotDrained as failure:
        status(str(failure))
        return 1
    return 0


def _drain(url: str, token: Callable[[], str], wait: float, now: Monotonic, out: Output) -> None:
    """Ask until no stream is left, and print how many are. Raises NotDrained."""
    deadline = now() + wait
    printed = None
    while (left := _ask(url, token()).streams) and now() < deadline:
        if left != printed:
            out.progress(f"{left} streams left")
        printed = left
        time.sleep(_LOOK_SECONDS)
    if left:
        raise NotDrained(f"{left} streams are left after {wait:g} s; they are still being ended")
    out.progress("drained: no streams left")
    out.result({"streams": 0})


def _ask(url: str, token: str) -> Draining:
    asking, below = connection(url, _ANSWER_SECONDS)
    try:
        asking.request("POST", f"{below}{PATH}", headers=_headers(token))
        response = asking.getresponse()
        body = response.read()
        if response.status != HTTPStatus.OK:
            raise NotDrained(f"{url} answered {response.status}: {_reason(response.status, body)}")
        return msgspec.json.decode(body, type=Draining)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
        raise NotDrained(f"{url} cannot be drained: {str(error) or type(error).__name__}") from error
    finally:
        asking.close()


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Length": "0"}


def _reason(status: int, body: bytes) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            "it has no or another BELLWIRE_OPERATOR_SECRET, another BELLWIRE_TOKEN_AUDIENCE, or another time"
        )
    try:
        return str(_read_problem(body)["detail"])
    except (msgspec.MsgspecError, KeyError):
        return "this is not an API process of Bellwire"


def _address(text: str) -> str:
    where = urlsplit(text)
    named = where.path.startswith("/") if where.scheme == "unix" else where.netloc
    if where.scheme not in {"http", "https", "unix"} or not named:
        raise argparse.ArgumentTypeError(
            "must begin with http:// or https://, and a host; or with unix:/, and a path"
        )
    return text
