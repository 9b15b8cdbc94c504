"""Tokens with which clients log in (OAUTHBEARER), and where they come from."""

import asyncio
import base64
import binascii
import re
import shlex
import ssl
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider

from adapters.kafka.failures import NoToken
from application.ports import Clock
from application.printing import printable

_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
# An opaque token that says nothing of its life is asked for again after this.
_UNKNOWN_LIFE_SECONDS = 60.0
_MOST_BYTES = 64 * 1024
_MOST_WORDS = 200
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1."""


class Token(NamedTuple):
    """A token, and when it expires (Unix time); None if that is not known."""

    text: str
    expires_at: float | None = None


Fetch = Callable[[], Awaitable[Token]]


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """One token for all clients of a process, fetched again when four fifths of its life are over.

    A connection that is cancelled while it waits does not cancel the fetch, or a slow one would never end.
    """

    def __init__(self, fetch: Fetch, clock: Clock, extensions: Mapping[str, str]) -> None:
        """`fetch` raises NoToken."""
        self._fetch = fetch
        self._clock = clock
        self._extensions = extensions
        self._token = Token("", 0.0)
        self._renew_at = 0.0
        self._failure: NoToken | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """Raises NoToken."""
        if self._now() >= self._renew_at:
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._renew())
            await asyncio.shield(self._fetching)
        if self._failure is not None and self._now() >= (self._token.expires_at or 0.0):
            raise self._failure
        return self._token.text

    def extensions(self) -> Mapping[str, str]:
        """What is sent beside the token."""
        return self._extensions

    async def _renew(self) -> None:
        try:
            self._token = token = await self._fetch()
        except NoToken as failure:
            # Clients connect ten times a second: the command or server is not asked that often.
            self._failure, self._renew_at = failure, self._now() + _AGAIN_SECONDS
            return
        now, self._failure = self._now(), None
        expires_at = now + _UNKNOWN_LIFE_SECONDS if token.expires_at is None else token.expires_at
        self._renew_at = now + max(_AGAIN_SECONDS, 0.8 * (expires_at - now))

    def _now(self) -> float:
        return self._clock().timestamp()


# --- where they come from -------------------------------------------------------------------------------


class _Answer(msgspec.Struct):
    """RFC 6749, section 5.1."""

    access_token: str
    expires_in: float | None = None


async def from_command(line: str, clock: Clock) -> Token:
    """Run a command that prints a token, or JSON with `access_token` and perhaps `expires_in`. Raises
    NoToken, within 10 s.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(line), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        raise NoToken(f"the token command cannot be run: {error.strerror}") from error
    printed, complaint = await _output(process)
    if process.returncode:
        last = printable(complaint.decode(errors="replace").strip().rpartition("\n")[2])[:_MOST_WORDS]
        raise NoToken(f"the token command ended with status {process.returncode}: {last}")
    return _token_in(printed.strip(), "the token command printed no token", clock)


async def _output(process: Process) -> tuple[bytes, bytes]:
    try:
        async with asyncio.timeout(_SECONDS):
            return await process.communicate()
    except TimeoutError:
        raise NoToken(f"the token command did not end within {_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()


async def from_url(url: str, client_id: str, secret: str, scope: str, clock: Clock) -> Token:
    """Ask a token endpoint with client credentials (RFC 6749, section 4.4). Raises NoToken."""
    import httpx  # noqa: PLC0415 - only for this way to log in

    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    # Section 2.3.1: encoded before they are joined.
    credentials = httpx.BasicAuth(quote(client_id, safe=""), quote(secret, safe=""))
    try:
        async with httpx.AsyncClient(verify=ssl.create_default_context(), timeout=_SECONDS) as client:
            answer = await client.post(url, data=form, auth=credentials)
    except (httpx.HTTPError, OSError) as error:
        raise NoToken(f"no token from {url}: {str(error) or type(error).__name__}") from error
    if answer.status_code != httpx.codes.OK:
        raise NoToken(f"no token from {url}: {answer.status_code}{_code_in(answer.content)}")
    return _token_in(answer.content, f"the answer of {url} has no token", clock)


async def from_aws(region: str) -> Token:
    """Sign a request to Amazon MSK with the credentials of this machine or pod. Raises NoToken."""
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - an optional extra

    try:
        async with asyncio.timeout(_SECONDS):
            text, at_ms = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, region)
    except Exception as error:
        reason = printable(str(error))[:_MOST_WORDS] or type(error).__name__
        raise NoToken(f"AWS gave no credentials: {reason}") from error
    return Token(text, at_ms / 1000)


def _token_in(printed: bytes, otherwise: str, clock: Clock) -> Token:
    """The token in what was printed, which is never quoted. Raises NoToken."""
    try:
        answer = msgspec.json.decode(printed, type=_Answer)
    except msgspec.MsgspecError:
        answer = _Answer(printed.decode("ascii", errors="replace"))
    if len(answer.access_token) > _MOST_BYTES or not _TOKEN.fullmatch(answer.access_token):
        raise NoToken(otherwise)
    if answer.expires_in is not None:
        return Token(answer.access_token, clock().timestamp() + answer.expires_in)
    return Token(answer.access_token, _expiry(answer.access_token))


class _Claims(msgspec.Struct):
    exp: float | None = None


def _expiry(token: str) -> float | None:
    """When a token expires that is a JWT; whether it is valid is for the broker to say."""
    _, payload, *_ = f"{token}..".split(".")
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="), type=_Claims).exp
    except (binascii.Error, msgspec.MsgspecError):
        return None


class _Refusal(msgspec.Struct):
    error: str


def _code_in(answer: bytes) -> str:
    """The code of an error (RFC 6749, section 5.2)."""
    try:
        return f" ({printable(msgspec.json.decode(answer, type=_Refusal).error)[:_MOST_WORDS]})"
    except msgspec.MsgspecError:
        return ""


# --- what aiokafka leaves out ---------------------------------------------------------------------------


class _Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]
    """A broker that refuses a token answers with the reason, and waits until the client says that it has
    read it (RFC 7628, section 3.2.3). aiokafka takes that answer for a success, and the next request fails
    without a reason.
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        step: tuple[bytes, bool] | None = await super().step(payload)
        return (b"\x01", True) if step is None and payload else step


def hear_refusals() -> None:
    """Have aiokafka use it: it has no setting for that."""
    conn.OAuthAuthenticator = _Authenticator


hear_refusals()
