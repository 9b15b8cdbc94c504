"""How commands reach the service: the address, the credentials, and what they say when it refuses."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from application.errors import ApplicationError
from bellwire_client import BellwireError, Problem, StreamRefused, Unreachable
from entrypoints.commands import remote
from entrypoints.settings import InvalidSettings
from tests.tokens import SECRET

URL = "http://b.test"


def arguments(url: str | None = None, token: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(url=url, token=token)


def problem(status: int, kind: str, detail: str) -> Problem:
    return Problem(status, {"type": f"urn:bellwire:problem:{kind}", "title": "No", "detail": detail})


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation that `make dev` made."""
    (tmp_path / "env").write_text(
        f"export BELLWIRE_URL=http://dev.test\nexport BELLWIRE_API_KEY=dev-key\n"
        f"export BELLWIRE_TOKEN=dev-token\nexport BELLWIRE_TOKEN_SECRET={SECRET}\n"
    )
    monkeypatch.setenv("BELLWIRE_DATA", str(tmp_path))


async def token_of(client: Any) -> str:
    return str(await client._user().fresh())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Unreachable("refused"), [URL, "refused", "make dev", "BELLWIRE_URL"]),
        (problem(401, "not-authenticated", "This API key is unknown."), ["BELLWIRE_API_KEY", "keys create"]),
        (problem(401, "not-authenticated", "This token has expired."), ["BELLWIRE_TOKEN", "bellwire token"]),
        (problem(403, "not-allowed", "This API key lacks the scope 'publish'."), ["'publish'", "--scope"]),
        (problem(404, "unknown-user", "There is no such user."), ["There is no such user.", "users create"]),
        (StreamRefused(4510, "There is no such user."), ["There is no such user.", "users create"]),
        (StreamRefused(401, "HTTP status 401 instead of a socket"), ["401", "BELLWIRE_TOKEN"]),
        (StreamRefused(4511, "This token is not valid."), ["BELLWIRE_TOKEN"]),
    ],
)
def test_an_error_says_what_to_do(error: BellwireError, words: list[str]) -> None:
    said = remote.explained(error, URL)

    assert all(word in said for word in words)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (problem(422, "invalid", "event is required"), "event is required"),
        (
            problem(403, "not-allowed", "This token belongs to another user."),
            "This token belongs to another user.",
        ),
        (Problem(502, {}), "HTTP status 502"),
        (
            StreamRefused(4510, "cursor is not a cursor of this service"),
            "cursor is not a cursor of this service",
        ),
        (StreamRefused(4514, "too many streams"), "too many streams"),
    ],
)
def test_other_errors_speak_for_themselves(error: BellwireError, said: str) -> None:
    assert remote.explained(error, URL) == said


def test_a_service_that_is_not_there_is_a_failure() -> None:
    async def work() -> int:
        raise Unreachable("refused")

    with pytest.raises(ApplicationError, match="no service answers at http://b"):
        remote.run(arguments(URL), work)


@pytest.mark.usefixtures("environment")
async def test_what_make_dev_runs_is_found() -> None:
    client = remote.as_producer(arguments(), follows="ada")

    assert (client._url, client._key()) == ("http://dev.test", {"X-API-Key": "dev-key"})
    assert len((await token_of(client)).split(".")) == 3


@pytest.mark.usefixtures("environment")
async def test_a_token_is_made_afresh_whenever_one_is_needed() -> None:
    client = remote.as_user(arguments(), "ada")

    assert await token_of(client) != await token_of(client)


@pytest.mark.usefixtures("environment")
async def test_a_token_that_is_given_is_used() -> None:
    assert await token_of(remote.as_user(arguments(token="mine"), "ada")) == "mine"


@pytest.mark.usefixtures("environment")
async def test_another_service_gets_no_credentials_of_make_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings, match="BELLWIRE_API_KEY"):
        remote.as_producer(arguments(URL))
    with pytest.raises(InvalidSettings, match="BELLWIRE_TOKEN"):
        remote.as_user(arguments(URL), "ada")

    monkeypatch.setenv("BELLWIRE_API_KEY", "other-key")
    monkeypatch.setenv("BELLWIRE_TOKEN", "other-token")
    assert remote.as_producer(arguments(URL))._key() == {"X-API-Key": "other-key"}
    assert await token_of(remote.as_user(arguments(URL), "ada")) == "other-token"


def test_an_address_must_be_one() -> None:
    with pytest.raises(InvalidSettings, match=r"BELLWIRE_URL: .*http://"):
        remote.as_user(arguments("localhost:8000", "t"), "ada")
