"""Why brokers cannot be reached, or refuse something. aiokafka logs why a connection fails, and raises only
that none could be opened.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import gaierror
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from adapters.kafka.failures import FAILURES, NoToken
from application.errors import Unavailable
from application.printing import printable

_SECONDS = 2.0
_PING_SECONDS = 2.0
_OPTIONS = (
    "security_protocol",
    "ssl_context",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_oauth_token_provider",
)
DENIALS = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
_CLOSED = "closed the connection: do both sides use TLS, and the same way to log in?"


@asynccontextmanager
async def reaching(client: AIOKafkaClient, operation: str) -> AsyncIterator[None]:
    """Raise Unavailable for failures, with the reason."""
    try:
        yield
    except FAILURES as error:
        raise Unavailable(await why(client, error, operation)) from error


async def check(client: AIOKafkaClient) -> None:
    """Raise Unavailable, with the reason, unless a broker answers. Takes less than 3 s."""
    due = asyncio.get_running_loop().time() + _PING_SECONDS
    try:
        async with asyncio.timeout_at(due):
            await _answer(client)
    except TimeoutError as error:
        raise Unavailable("Kafka does not answer.") from error
    except FAILURES as error:
        try:
            async with asyncio.timeout_at(due + _SECONDS / 4):
                reason = await why(client, error)
        except TimeoutError:
            reason = f"Kafka is out of reach: {error!r}"
        raise Unavailable(reason) from error


async def _answer(client: AIOKafkaClient) -> None:
    try:
        await client.fetch_all_metadata()
    except RuntimeError:  # such as KafkaError
        # Brokers with `connections.max.reauth.ms` close a connection at the first request after that time,
        # because aiokafka does not log in again on it (KIP-368). The next is sent on a new one.
        await client.fetch_all_metadata()


async def why(client: AIOKafkaClient, error: BaseException, operation: str = "") -> str:
    """What to say of a failure: what the brokers deny, or why a new connection fails, or else the error."""
    if isinstance(error, DENIALS):
        return denial(client, error, operation)
    if obstacle := await obstacle_of(client):
        return f"Kafka is out of reach: {obstacle}"
    return (
        "Kafka does not answer." if isinstance(error, TimeoutError) else f"Kafka is out of reach: {error!r}"
    )


def denial(client: AIOKafkaClient, error: BaseException, operation: str = "") -> str:
    """What is denied to whom. `operation` is what an ACL would have to allow."""
    what = {
        GroupAuthorizationFailedError: "the consumer group",
        TopicAuthorizationFailedError: "the topic",
    }.get(type(error), "the cluster")
    named = " ".join(sorted(_names(error)))
    allowed = f"{operation or 'access'} on {what} {named}".rstrip()
    return f"Kafka does not allow {principal(client)} {allowed}: add an ACL"


def principal(client: AIOKafkaClient) -> str:
    """Who the client is to the brokers, as ACLs name it, where that is known."""
    protocol = client._security_protocol  # noqa: SLF001 - there is no other way
    if protocol == "SSL":
        return "the owner of this certificate"
    if not protocol.startswith("SASL_"):
        return "User:ANONYMOUS"
    username = client._sasl_plain_username  # noqa: SLF001 - as above
    return f"User:{username}" if username else "the owner of this token"


async def obstacle_of(client: AIOKafkaClient) -> str:
    """Why no connection can be opened with the options of this client; empty if one can. Takes up to 2 s."""
    outcomes = await asyncio.gather(*(_tried(client, host, port) for host, port, _ in client.hosts))
    # A server that says why is worth more than one that is away.
    found = [text for text, _ in sorted(outcomes, key=lambda outcome: not outcome[1])]
    return found[0] if found and all(found) else ""


async def _tried(client: AIOKafkaClient, host: str, port: int) -> tuple[str, bool]:
    """Why a connection to a server fails (empty if it does not), and whether the server has said so."""
    options = {name: getattr(client, f"_{name}") for name in _OPTIONS}
    connection = None
    try:
        async with asyncio.timeout(_SECONDS):
            connection = await create_conn(host, port, request_timeout_ms=_SECONDS * 1000, **options)
            await connection.send(MetadataRequest([]))
    except (OSError, EOFError, KafkaError, TimeoutError) as error:
        return _told(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", error)
    finally:
        if connection is not None:
            await asyncio.wait([connection.close()], timeout=_SECONDS)
    return "", False


def _told(where: str, error: BaseException) -> tuple[str, bool]:
    if isinstance(error.__cause__, Exception):  # that of a time-out is the cancellation
        error = error.__cause__
    said = _said_of_tls(where, error) or _said_of_login(where, error)
    return (said, True) if said else (_silence(where, error), False)


def _said_of_tls(where: str, error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        hint = ": does it want a client certificate that it trusts?" if "alert" in reason else ""
        return f"TLS with {where} fails: {reason}{hint}"
    return ""


def _said_of_login(where: str, error: BaseException) -> str:
    if isinstance(error, EOFError | ConnectionResetError | KafkaConnectionError):
        return f"{where} {_CLOSED}"
    if isinstance(error, UnsupportedSaslMechanismError | IllegalSaslStateError):
        return f"{where} has no login of this kind"
    if isinstance(error, KafkaError) and not isinstance(error, NoToken):
        return f"{where} refuses: {printable(str(error.args[0] if error.args else error))}"
    return ""


def _silence(where: str, error: BaseException) -> str:
    if isinstance(error, NoToken):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"{where} does not answer"
    return f"{where}: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """The system's words. asyncio and uvloop have others, and resolvers have codes of their own."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, gaierror):
        return os.strerror(error.errno)
    return printable(str(getattr(error, "strerror", None) or error))


def _names(error: BaseException) -> set[str]:
    """The topics or the group that an error names."""
    named: Any = error.args[0] if error.args else ""
    # The client for administrators names a group at the end of a sentence.
    return {named.rpartition(" ")[2]} if isinstance(named, str) else set(map(str, named))
