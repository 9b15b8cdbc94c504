"""How clients of Kafka connect and log in. Every client is opened with these options."""

from collections.abc import Mapping
from ssl import SSLContext
from typing import Any

from aiokafka.abc import AbstractTokenProvider

Login = Mapping[str, Any]
"""Options that every client of aiokafka takes."""

ANONYMOUS: Login = {}
"""Without TLS and without a login: for a network that only Bellwire and its producers can reach."""


def login(
    encryption: SSLContext | None,
    mechanism: str,
    username: str,
    password: str,
    tokens: AbstractTokenProvider | None,
) -> Login:
    """The options for these credentials; without a mechanism, of a client that does not log in (but may have
    a certificate). Either a password or `tokens` is used, as the mechanism says.
    """
    options: dict[str, Any] = {}
    if encryption is not None:
        options["ssl_context"] = encryption
    if encryption is not None or mechanism:
        options["security_protocol"] = _protocol(encryption, mechanism)
    if tokens is not None:
        # Amazon's tokens, too, go over this mechanism.
        options |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": tokens}
    elif mechanism:
        options |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": username,
            "sasl_plain_password": password,
        }
    return options


def _protocol(encryption: SSLContext | None, mechanism: str) -> str:
    secure = "PLAINTEXT" if encryption is None else "SSL"
    return f"SASL_{secure}" if mechanism else secure
