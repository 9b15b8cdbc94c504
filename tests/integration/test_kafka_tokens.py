"""A token for logging in to Kafka, from an authorization server."""

from datetime import UTC, datetime

import pytest

from adapters.kafka.failures import NoToken
from adapters.kafka.tokens import from_url
from tests.token_server import TokenServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def clock() -> datetime:
    return NOW


async def test_a_server_gives_a_token_for_an_id_and_its_secret() -> None:
    server = TokenServer("ada", 30)
    async with server.serving() as url:
        found = await from_url(url, "id:1", "s/1", "", clock)
    assert found.expires_at == NOW.timestamp() + 30
    assert server.forms == ["grant_type=client_credentials"]
    assert server.credentials == {"id%3A1:s%2F1"}


async def test_why_a_server_gives_none_is_said() -> None:
    server = TokenServer("ada", 30)
    server.status = 401
    async with server.serving() as url:
        with pytest.raises(NoToken, match=rf"^no token from {url}: 401 \(invalid_client\)$"):
            await from_url(url, "id", "secret", "", clock)
    with pytest.raises(NoToken, match=f"^no token from {url}: "):
        await from_url(url, "id", "secret", "", clock)
