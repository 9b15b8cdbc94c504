"""How clients of Kafka log in."""

from collections.abc import Mapping

Login = Mapping[str, str]
"""Options that every client of aiokafka takes."""

ANONYMOUS: Login = {}


def login(username: str, password: str, mechanism: str) -> Login:
    """The options that log in with SASL; anonymous without a name. Nothing is encrypted: this is for a
    network that only Bellwire and its producers can reach.
    """
    if not username:
        return ANONYMOUS
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": username,
        "sasl_plain_password": password,
    }
