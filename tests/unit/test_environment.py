"""Where the BELLWIRE_… variables come from."""

from pathlib import Path

import pytest

from entrypoints import environment
from workbench import data_folder

DEV = {"BELLWIRE_POSTGRES_URL": "postgresql://a@b/it's", "BELLWIRE_URL": "http://127.0.0.1:8000", "HOME": "/"}


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, below the one in which `make dev` runs."""
    (tmp_path / ".bellwire").mkdir()
    data_folder.write_environment(tmp_path / ".bellwire/env", DEV, {})
    below = tmp_path / "src/deep"
    below.mkdir(parents=True)
    monkeypatch.delenv("BELLWIRE_DATA", raising=False)
    monkeypatch.chdir(below)
    return tmp_path


def without_dev() -> bool:
    return environment.dev_file() is None and "BELLWIRE_POSTGRES_URL" not in environment.variables()


def test_what_make_dev_runs_is_found_in_a_folder_above(there: Path) -> None:
    assert environment.dev_file() == there / ".bellwire/env"
    found = environment.variables()
    assert found["BELLWIRE_POSTGRES_URL"] == DEV["BELLWIRE_POSTGRES_URL"]
    assert "HOME" not in found


def test_a_variable_that_is_set_overrides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLWIRE_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("BELLWIRE_PORT", "")

    found = environment.variables()

    assert (found["BELLWIRE_LOG_LEVEL"], found["BELLWIRE_URL"]) == ("DEBUG", DEV["BELLWIRE_URL"])
    assert "BELLWIRE_PORT" not in found


@pytest.mark.parametrize(
    "name", ["POSTGRES_URL", "MIGRATION_URL", "REDIS_URL", "KAFKA_BOOTSTRAP", "TOKEN_SECRET", "URL"]
)
def test_two_installations_are_not_mixed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"BELLWIRE_{name}", "another")

    assert environment.dev_file() is None
    assert environment.variables() == {f"BELLWIRE_{name}": "another"}


def test_a_data_folder_of_another_name_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("BELLWIRE_DATA", str(other))
    assert without_dev()

    data_folder.write_environment(other / "env", DEV, {})
    assert environment.dev_file() == other / "env"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_believed(there: Path, mode: int) -> None:
    (there / ".bellwire/env").chmod(mode)

    assert without_dev()


def test_a_file_of_someone_else_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4242)

    assert without_dev()


def test_a_line_that_cannot_be_read_is_left_out(there: Path) -> None:
    file = there / ".bellwire/env"
    file.write_text(
        "export BELLWIRE_A='open\nBELLWIRE_B=1\nexport PATH=/x\nexport BELLWIRE_C=1 # y\nexport BELLWIRE_D=\n"
    )

    assert environment.variables() == {"BELLWIRE_C": "1"}
