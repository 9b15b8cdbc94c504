"""Settings that name something elsewhere: what can be used, and how what cannot is told."""

import re

import pytest

from entrypoints.commands import cli
from entrypoints.settings import InvalidSettings, Settings
from workbench import cli as workbench_cli
from workbench.dev import DevSettings

SECRET = "a-password"
GOOD = {
    "postgres_url": [
        "postgresql://u:p@h/db",
        "postgres://h",
        "postgresql+asyncpg://u:p%40%2F@h:5433/db?ssl=require",
        "postgresql://u:p#1/2@h/db",
        "postgresql://u@[::1]:5432/db",
        "postgresql://u@/db?host=/run/postgresql",
        "postgresql://u@/db?host=a:1&host=b:2&target_session_attrs=primary",
    ],
    "redis_url": [
        "redis://h",
        "redis://h/",
        "redis://u:p%23@h:6380/15",
        "redis://:p@[::1]:6379/0",
        "rediss://h:6379/0?ssl_cert_reqs=none",
        "redis://h?db=3&socket_timeout=2",
        "unix:///run/redis.sock?db=1",
    ],
    "redis_prefix": ["bellwire", "app/bell:wire-1"],
    "kafka_bootstrap": ["h:9092", "a:1,b:65535", "a.b-c.d_e:9092, 10.0.0.1:9093", "[::1]:9092"],
    "kafka_topic": ["t", "a.b_c-D9", "t" * 245],
    "kafka_group": ["g", "a group of mine", "g" * 255],
}
BAD = {
    "postgres_url": [
        f"mysql://u:{SECRET}@h/db",
        f"u:{SECRET}@h/db",
        f"postgresql+psycopg://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h:abc/db",
        f"postgresql://u:{SECRET}@h:99999/db",
        f"postgresql://u:{SECRET}@h:0/db",
        f"postgresql://u:{SECRET}@/db",
        f"postgresql://u:{SECRET}@x@h/db",
        "postgresql://",
        "postgresql:/h/db",
        f"postgresql://u:{SECRET}@h/db?ssl=yes",
        f"postgresql://u:{SECRET}@h/db?statement_cache_size=0",
    ],
    "redis_url": [
        "redis://:abc",
        f"redis://:{SECRET}@h:abc/0",
        f"redis://:{SECRET}@h:70000/0",
        f"redis://:{SECRET}@h:0/0",
        f"redis://:{SECRET}@:6379/0",
        f"redis://:{SECRET}@[::1/0",
        f"redis://:{SECRET}@h/zero",
        f"redis://:{SECRET}@h/0#1",
        f"redis://:{SECRET}#1@h/0",
        f"redis://:{SECRET}@h/0?db=zero",
        f"redis://:{SECRET}@h/0?wrong=1",
        f"http://:{SECRET}@h/0",
        "h:6379",
        "redis://",
        "unix://",
    ],
    "redis_prefix": ["a*", "a?", "a[b]", "{a}", "a b", "ä", "a\\", "p" * 101],
    "kafka_bootstrap": [
        "h", "h:", ":9092", "h:abc", "h:0", "h:65536", "h:9092,", ",h:9092", "kafka://h:9092", "a:1 b:2",
        "::1:9092", "[h]:9092", "h:9092/x", "h:٣", f"u:{SECRET}@h:9092", "h:" + "9" * 5000,
    ],
    "kafka_topic": ["a b", "ä", "a/b", ".", "..", "t" * 246, "a:b"],
    "kafka_group": [" ", " g", "g ", "a\nb", "g" * 256],
}  # fmt: skip
COMMANDS = [
    "api", "consumer", "migrate", "prune --keep-months 6", "demo-access", "create-key a", "keys",
    "keys create a", "keys list", "keys rotate a", "keys revoke a", "revoke-key a", "dlq list",
    "dlq show 0:1", "dlq replay --dry-run", "disable-user a", "enable-user a", "revoke-tokens a",
    "token a", "drain",
]  # fmt: skip


@pytest.fixture(autouse=True)
def enough_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLWIRE_TOKEN_SECRET", "only-for-a-test-of-the-addresses")


def pairs(values: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, several in values.items() for value in several]


@pytest.mark.parametrize(("name", "given"), pairs(GOOD))
def test_what_can_be_used_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, given: str) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name.upper()}", given)

    assert str(getattr(Settings.from_env(), name)).endswith(given.partition("://")[2])


@pytest.mark.parametrize(("name", "given"), pairs(BAD))
def test_what_cannot_be_used_is_refused_with_its_variable_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str
) -> None:
    variable = f"BELLWIRE_{name.upper()}"
    monkeypatch.setenv(variable, given)

    with pytest.raises(InvalidSettings, match=rf"^{variable}: .+") as refused:
        Settings.from_env()

    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is None  # which could quote it, in a traceback


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("POSTGRES_URL", f"postgresql://u:{SECRET}@h:abc/db"),
        ("REDIS_URL", f"redis://:{SECRET}@"),
        ("KAFKA_BOOTSTRAP", f"{SECRET}@kafka"),
        ("KAFKA_TOPIC", "a topic"),
    ],
)
def test_every_command_says_so_in_one_line_and_ends_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, name: str, given: str
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name}", given)

    assert cli.main(command.split()) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"bellwire: BELLWIRE_{name}: .+\n", err)
    assert SECRET not in err


@pytest.mark.parametrize("folder", ["/proc/nothing", "/dev/null", "/dev/null/below"])
def test_a_folder_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    monkeypatch.setenv("BELLWIRE_DATA", folder)

    assert cli.main(["dev"], workbench_cli.COMMANDS) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(rf"bellwire: BELLWIRE_DATA: {folder} cannot be written: .+\n", said)


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "9" * 5000, "٣"])
def test_the_port_of_a_development_run_is_named_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    monkeypatch.setenv("BELLWIRE_PORT", port)

    with pytest.raises(InvalidSettings, match=r"^BELLWIRE_PORT: "):
        DevSettings.from_env({"BELLWIRE_PORT": port})
    assert cli.main(["dev"], workbench_cli.COMMANDS) == 2
    assert capsys.readouterr().err.startswith("bellwire: BELLWIRE_PORT: ")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("token_seconds", 315_360_000),
        ("kafka_session_seconds", 86_400),
        ("kafka_fetch_wait_ms", 30_000),
        ("kafka_partitions", 100_000),
        ("kafka_replication", 1000),
    ],
)
def test_a_number_that_nobody_could_count_with_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name.upper()}", str(most))
    assert getattr(Settings.from_env(), name) == most

    monkeypatch.setenv(f"BELLWIRE_{name.upper()}", str(most + 1))
    with pytest.raises(InvalidSettings, match=f"^BELLWIRE_{name.upper()}: "):
        Settings.from_env()
