"""Settings from the environment."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from entrypoints.commands import cli
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
        ("create_users", "token", "token"),
        ("create_users", "publish, token", "publish, token"),
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
        ("create_users", "always"),
        ("create_users", "never,token"),
        ("create_users", "publish,token,"),
        ("postgres_pool", "many"),
        ("workers", "0"),
        ("kafka_partitions", "0"),
        ("kafka_replication", "-3"),
        ("kafka_session_seconds", "soon"),
        ("token_seconds", "0"),
        ("token_seconds", "315360001"),
        ("token_seconds", "9" * 40),
        ("token_seconds", "9" * 5000),
        ("token_seconds", "1e400"),
        ("token_max_seconds", "0"),
        ("token_max_seconds", "9" * 40),
        ("token_skew_seconds", "301"),
        ("token_claim", "a b"),
        ("token_jwks", "http://example.com/keys"),
        ("token_jwks", "http://127.0.0.1.example.com/keys"),
        ("token_jwks", "file:///etc/passwd"),
        ("token_jwks", "ftp://example.com/keys"),
        ("token_jwks", "https://"),
        ("token_jwks", "https://ada:secret@example.com/keys"),
        ("token_jwks", "https://example.com:port/keys"),
        ("token_jwks", "https://[::1/keys"),
        ("token_jwks", "https://example.com/keys#x"),
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
        ("root_path", "/"),
        ("root_path", "bell"),
        ("root_path", "/bell/"),
        ("root_path", "//bell"),
        ("root_path", "/bell/../v1"),
        ("root_path", "/b%65ll"),
        ("root_path", "/v1/bell"),
        ("root_path", "https://example.com/bell"),
        ("unix_socket", "run/api.sock"),
        ("unix_socket", "unix:/run/api.sock"),
        ("unix_socket", "/" + "x" * 107),
        ("unix_socket_mode", "0660"),
        ("unix_socket_mode", "rw-"),
        ("unix_socket_mode", "888"),
        ("keep_alive_seconds", "0"),
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


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("PORT", "abc", "must be an integer from 0 to 65535, not 'abc'"),
        ("WORKERS", "0", "must be an integer from 1, not '0'"),
        ("OPEN_SIGNUP", "ja", "must be true or false, not 'ja'"),
        ("LOG_FORMAT", "xml", "must be json or text, not 'xml'"),
        (
            "KAFKA_SASL_MECHANISM",
            "x",
            "must be AWS_MSK_IAM, OAUTHBEARER, PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, not 'x'",
        ),
        ("CREATE_USERS", "x", "must be never, publish, token, or publish,token"),
        ("METRICS_TOKEN", "s3cret", "must be 16 to 200 visible ASCII characters"),
    ],
)
def test_what_is_allowed_is_named_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, said: str
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name}", given)

    with pytest.raises(InvalidSettings) as refused:
        Settings.from_env()

    assert str(refused.value) == f"BELLWIRE_{name}: {said}"


def test_a_port_that_kubernetes_sets_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLWIRE_PORT", "tcp://10.0.0.1:8000")

    with pytest.raises(InvalidSettings, match=r"^BELLWIRE_PORT: .*enableServiceLinks: false"):
        Settings.from_env()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REDIS_ULR", "REDIS_URL"),
        ("POSTGRESS_URL", "POSTGRES_URL"),
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP"),
        ("IMAGE_TAG", None),
        ("API_SERVICE_HOST", None),
        ("PORT_8000_TCP_ADDR", None),
        ("API_KEY", None),
    ],
)
def test_a_name_that_resembles_a_setting_is_taken_for_a_mistake(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name}", "x")

    said = f"BELLWIRE_{name} is not a setting; did you mean BELLWIRE_{meant}?"
    assert Settings.misspelt() == ([said] if meant else [])


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


# --- what a serving process refuses ---

RANDOM = "f7c3bc1d808e04732adf679965ccc34ca7ae3441b2c8e0d91f5a6b7c8d9e0f1a"
OTHER = "fvG3zAqS0mXhWc2kLr8PnB5yTeJdU7iO"


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    "name", ["token_secret", "token_secret_previous", "operator_secret", "erasure_secret", "redis_secret"]
)
@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("x" * 31, "32 bytes"),
        ("s" * 32, "can be guessed"),
        ("ab" * 32, "can be guessed"),
        ("fvG3zAqS" * 4, "can be guessed"),
        ("fvG3zAqS0mX" * 3, "can be guessed"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcdefg", "can be guessed"),
        (f"{'a' * 40}qxwzrtypmk", "can be guessed"),
        ("12345678901234567890123456789012", "placeholder"),
        ("changeme-changeme-changeme-changeme", "placeholder"),
        ("Change_Me-please-before-going-to-production", "placeholder"),
        ("your-256-bit-secret-your-256-bit-secret", "placeholder"),
        ("a-string-secret-at-least-256-bits-long", "placeholder"),
        ("this is my super secret key for bellwire", "placeholder"),
        ("openssl rand -hex 32 is what I was told", "placeholder"),
        (" " * 40, "space"),
        (f"{OTHER} ", "space"),
        (f"\t{OTHER}", "space"),
        (f"{OTHER}\n", "space"),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, secret: str, reason: str
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name.upper()}", secret)

    with pytest.raises(InvalidSettings, match=rf"^BELLWIRE_{name.upper()}: .*{reason}") as refused:
        Settings.for_serving()

    assert secret.strip() == "" or secret.strip() not in str(refused.value)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a process that can serve."""
    monkeypatch.setenv("BELLWIRE_TOKEN_SECRET", RANDOM)


@pytest.mark.usefixtures("serving")
def test_a_random_secret_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(200):
        for secret in (secrets.token_hex(32), secrets.token_hex(16), secrets.token_urlsafe(32)):
            monkeypatch.setenv("BELLWIRE_TOKEN_SECRET", secret)
            assert Settings.for_serving().token_secret == secret


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("name", ["token_secret", "token_secret_previous"])
def test_users_tokens_and_operators_need_different_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name.upper()}", OTHER)
    monkeypatch.setenv("BELLWIRE_OPERATOR_SECRET", OTHER)

    with pytest.raises(InvalidSettings, match=r"^BELLWIRE_OPERATOR_SECRET: "):
        Settings.for_serving()


@pytest.mark.usefixtures("serving")
def test_what_is_kept_is_recognised_by_secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLWIRE_ERASURE_SECRET", OTHER)
    monkeypatch.setenv("BELLWIRE_REDIS_SECRET", RANDOM)
    settings = Settings.for_serving()
    assert (settings.erasure_secret, settings.index_secret) == (OTHER, RANDOM)

    monkeypatch.setenv("BELLWIRE_REDIS_SECRET", OTHER)
    with pytest.raises(InvalidSettings, match=r"^BELLWIRE_REDIS_SECRET: must not be BELLWIRE_ERASURE_SECRET"):
        Settings.for_serving()


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_a_demo_is_only_for_this_machine(monkeypatch: pytest.MonkeyPatch, host: str, good: bool) -> None:
    monkeypatch.setenv("BELLWIRE_DEMO", "true")
    monkeypatch.setenv("BELLWIRE_HOST", host)

    if good:
        assert Settings.for_serving().demo
    else:
        with pytest.raises(InvalidSettings, match=r"^BELLWIRE_DEMO: .*BELLWIRE_HOST"):
            Settings.for_serving()


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"token_max_seconds": "60", "token_seconds": "61"}, "token_seconds"),
        ({"token_claim": "exp"}, "token_claim"),
        ({"token_claim": "minted_by"}, "token_claim"),
        ({"token_jwks": "/no/such/file"}, "token_jwks"),
        ({"token_jwks": "/"}, "token_jwks"),
    ],
)
def test_settings_with_which_no_token_is_good_are_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"BELLWIRE_{name.upper()}", value)

    with pytest.raises(InvalidSettings, match=rf"^BELLWIRE_{named.upper()}: "):
        Settings.for_serving()


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    "where", ["https://example.com/keys", "http://[::1]:9/keys", "http://localhost/k?x=1"]
)
def test_public_keys_come_from_the_web_by_https(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("BELLWIRE_TOKEN_JWKS", where)

    assert Settings.for_serving().token_jwks == where


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("command", ["api", "consumer", "drain", "token ada", "keys"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN_SECRET", "s" * 32),
        ("TOKEN_SECRET_PREVIOUS", "changeme" * 4),
        ("OPERATOR_SECRET", " " * 32),
        ("TOKEN_SECONDS", "9" * 40),
        ("TOKEN_JWKS", "http://example.com/keys"),
        ("DEMO", "true"),
    ],
)
def test_a_command_says_what_is_wrong_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv("BELLWIRE_HOST", "0.0.0.0")
    monkeypatch.setenv(f"BELLWIRE_{name}", value)

    assert cli.main(command.split()) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"bellwire: BELLWIRE_{name}: .+\n", err)


@pytest.mark.usefixtures("serving")
def test_a_process_without_the_operators_secret_cannot_be_drained_by_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["drain"]) == 2

    assert capsys.readouterr().err.startswith("bellwire: BELLWIRE_OPERATOR_SECRET: ")


@pytest.mark.parametrize(
    ("name", "value"), [("TOKEN_SECRET", "changeme-changeme-changeme-changeme"), ("DEMO", "true")]
)
def test_a_real_process_does_not_start(name: str, value: str) -> None:
    given = {"BELLWIRE_TOKEN_SECRET": RANDOM, "BELLWIRE_HOST": "0.0.0.0", f"BELLWIRE_{name}": value}
    done = subprocess.run(
        [sys.executable, "-m", "bellwire", "api"],
        env={**os.environ, **given, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"bellwire: BELLWIRE_{name}: .+\n", done.stderr)
