"""Tokens for logging in to Kafka: when they are fetched, and what is said when there is none."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from adapters.kafka.failures import NoToken
from adapters.kafka.tokens import Token, Tokens, from_aws, from_command
from tests.token_server import token

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Source:
    """Gives one token after the other."""

    def __init__(self, life: float | None = 100) -> None:
        self.now = NOW
        self.fetched = 0
        self.life = life
        self.failing = False

    async def fetch(self) -> Token:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.failing:
            raise NoToken("away")
        return Token(f"t{self.fetched}", None if self.life is None else self.now.timestamp() + self.life)

    def tokens(self) -> Tokens:
        return Tokens(self.fetch, lambda: self.now, {"a": "b"})

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


async def test_a_token_serves_all_clients_for_four_fifths_of_its_life() -> None:
    source = Source()
    tokens = source.tokens()
    assert await asyncio.gather(*(tokens.token() for _ in range(3))) == ["t1"] * 3
    source.later(79)
    assert await tokens.token() == "t1"
    source.later(1)
    assert await tokens.token() == "t2"
    assert tokens.extensions() == {"a": "b"}


async def test_a_token_of_unknown_life_serves_for_less_than_a_minute() -> None:
    source = Source(life=None)
    tokens = source.tokens()
    await tokens.token()
    source.later(47)
    assert await tokens.token() == "t1"
    source.later(1)
    assert await tokens.token() == "t2"


async def test_while_none_can_be_had_the_last_serves_to_the_end_of_its_life() -> None:
    source = Source()
    tokens = source.tokens()
    await tokens.token()
    source.failing = True
    source.later(90)
    assert await tokens.token() == "t1"
    source.later(10)
    with pytest.raises(NoToken, match=r"^away$"):
        await tokens.token()
    source.failing = False
    source.later(1)
    assert await tokens.token() == "t4"


async def test_a_source_that_fails_is_asked_once_a_second() -> None:
    source = Source()
    source.failing = True
    tokens = source.tokens()
    for _ in range(5):
        with pytest.raises(NoToken):
            await tokens.token()
        source.later(0.1)
    assert source.fetched == 1


async def test_a_client_that_gives_up_does_not_end_the_fetch() -> None:
    source = Source()
    tokens = source.tokens()
    waiting = asyncio.create_task(tokens.token())
    await asyncio.sleep(0)
    waiting.cancel()
    assert await tokens.token() == "t1"
    assert source.fetched == 1


def clock() -> datetime:
    return NOW


JWT = token("ada", 50)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("opaque~token==", Token("opaque~token==", None)),
        (json.dumps({"access_token": "x", "expires_in": 5}), Token("x", NOW.timestamp() + 5)),
        (json.dumps({"access_token": "x", "token_type": "Bearer"}), Token("x", None)),
    ],
)
async def test_what_a_command_prints_is_a_token(printed: str, expected: Token) -> None:
    assert await from_command(f"echo '{printed}'", clock) == expected


async def test_a_token_that_says_when_it_expires_is_believed() -> None:
    found = await from_command(f"echo {JWT}", clock)
    assert found.text == JWT
    assert found.expires_at is not None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("echo", "^the token command printed no token$"),
        ("echo please log in", "^the token command printed no token$"),
        ("echo '{\"access_token\": 5}'", "^the token command printed no token$"),
        ("sh -c 'echo secret; echo first >&2; echo expired >&2; exit 3'", "ended with status 3: expired$"),
        ("/", "^the token command cannot be run: Permission denied$"),
    ],
)
async def test_why_a_command_gives_none_is_said_and_not_what_it_printed(line: str, said: str) -> None:
    with pytest.raises(NoToken, match=said):
        await from_command(line, clock)


async def test_a_token_of_aws_is_signed_by_its_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = SimpleNamespace(generate_auth_token=lambda region: (f"of-{region}", 5_000))
    module = SimpleNamespace(MSKAuthTokenProvider=signer)
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", module)
    assert await from_aws("eu-west-1") == Token("of-eu-west-1", 5.0)

    def fails(_region: str) -> None:
        raise ValueError("no credentials")

    signer.generate_auth_token = fails
    with pytest.raises(NoToken, match=r"^AWS gave no credentials: no credentials$"):
        await from_aws("eu-west-1")
