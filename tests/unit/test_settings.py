"""Settings from the environment."""

import re
from pathlib import Path

import msgspec
import pytest

from entrypoints.settings import InvalidSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(f"BELLWIRE_{name.upper()}", raising=False)


def test_without_an_environment_there_are_defaults() -> None:
    assert Settings.from_env() == Settings()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("port", "9000", 9000),
        ("port", "0", 0),
        ("port", "65535", 65535),
        ("postgres_pool", "1", 1),
        ("index_capacity", "100", 100),
        ("index_capacity", "5000", 5000),
        ("open_signup", "true", True),
        ("open_signup", "1", True),
        ("open_signup", "false", False),
        ("open_signup", "0", False),
        ("environment", "test7", "test7"),
        ("log_level", "DEBUG", "DEBUG"),
        ("token_secret", "12345678901234567890123456789012", "12345678901234567890123456789012"),
        ("kafka_group", "7", "7"),
        ("host", "", "127.0.0.1"),
        ("port", "", 8000),
    ],
)
def test_a_variable_sets_its_field(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, expected: object
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name.upper()}", given)

    assert getattr(Settings.from_env(), name) == expected


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("port", "x"),
        ("port", "-1"),
        ("port", "65536"),
        ("port", "80.5"),
        ("port", "9" * 5000),
        ("postgres_pool", "0"),
        ("postgres_pool", "many"),
        ("workers", "0"),
        ("kafka_partitions", "0"),
        ("kafka_replication", "-3"),
        ("kafka_session_seconds", "soon"),
        ("token_seconds", "0"),
        ("batch_records", "0"),
        ("index_capacity", "99"),
        ("index_capacity", "5001"),
        ("open_signup", "yes please"),
        ("demo", "2"),
        ("access_log", "on?"),
        ("environment", "Live"),
        ("environment", "a_b"),
        ("environment", "e" * 17),
        ("log_level", "LOUD"),
        ("log_format", "xml"),
        ("allowed_origins", "example.com"),
        ("allowed_origins", "localhost:3000"),
        ("allowed_origins", "https://"),
        ("allowed_origins", "https://a https://example.com/app"),
        ("allowed_origins", "https://example.com?x"),
        ("allowed_origins", "https://ada@example.com"),
        ("allowed_origins", "https://example.com:port"),
        ("allowed_origins", "https://example.com:99999"),
        ("allowed_origins", "https://[::1"),
        ("allowed_origins", "https://ex\u2764mple.com"),
        ("allowed_hosts", "https://example.com"),
        ("allowed_hosts", "example.com:8000"),
        ("allowed_hosts", "example.com/"),
        ("allowed_hosts", "*.example.com"),
        ("allowed_hosts", "ok.example, ::1"),
        ("metrics_token", "short"),
        ("metrics_token", "with a space in it"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name.upper()}", given)

    with pytest.raises(InvalidSettings, match=rf"^BELLWIRE_{name.upper()}: .+"):
        Settings.from_env()


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", "postgresql+asyncpg://"])
def test_every_common_address_of_postgres_is_understood(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("BELLWIRE_POSTGRES_URL", f"{scheme}a:b@c/postgres://")

    assert Settings.from_env().postgres_url == "postgresql+asyncpg://a:b@c/postgres://"


def test_origins_are_separated_by_commas_or_spaces() -> None:
    assert Settings(allowed_origins="https://a,https://b  https://c,").origins == {
        "https://a", "https://b", "https://c",
    }  # fmt: skip
    assert Settings().origins == frozenset()


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "http://example.com:443",
        "http://localhost:3000",
        "https://xn--bcher-kva.example",
        "http://[::1]:8080",
        "capacitor://localhost",
        "null",
    ],
)
def test_an_origin_as_browsers_send_it_is_taken(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("BELLWIRE_ALLOWED_ORIGINS", f"{origin}, https://other.example")

    assert Settings.from_env().origins == {origin, "https://other.example"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("https://example.com/", "write https://example.com$"),
        ("https://Example.com", "write https://example.com$"),
        ("HTTPS://example.com", "write https://example.com$"),
        ("https://example.com:443", "write https://example.com$"),
        ("http://example.com:80/", "write http://example.com$"),
        ("https://b\u00fccher.example", "write https://xn--bcher-kva.example$"),
        ("https://BU\u0308CHER.example", "write https://xn--bcher-kva.example$"),
        ("example.com", "is not an origin"),
        ("*", "no wildcard"),
        ("https://*.example.com", "no wildcard"),
    ],
)
def test_an_origin_that_would_never_match_prevents_the_start(
    monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.setenv("BELLWIRE_ALLOWED_ORIGINS", f"https://other.example {given}")

    with pytest.raises(InvalidSettings, match=f"^BELLWIRE_ALLOWED_ORIGINS: .*{said}"):
        Settings.from_env()


def test_hosts_are_compared_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLWIRE_ALLOWED_HOSTS", "Bell.Example, 10.0.0.1 [::1]")

    assert Settings.from_env().hosts == {"bell.example", "10.0.0.1", "[::1]"}
    assert Settings().hosts == frozenset()


def test_the_example_lists_every_setting_once_with_its_default() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    listed = [match for line in lines if (match := re.fullmatch(r"#? ?BELLWIRE_([A-Z_]+)=(.*)", line))]

    names = [match[1].lower() for match in listed]
    assert sorted(names) == sorted(FIELDS)
    given = {match[1].lower(): match[2] for match in listed if match[2]}
    assert msgspec.convert(given, Settings, strict=False) == Settings()
