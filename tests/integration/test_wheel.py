"""A wheel has all that the product needs, and nothing of the workbench."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.conftest import Databases, installation
from workbench.embedded import EmbeddedServers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip would put into an environment."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"]))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture
def environment(servers: EmbeddedServers, databases: Databases, name: str) -> Iterator[dict[str, str]]:
    """Servers with nothing of ours in them yet."""
    url = databases.create()
    yield installation(servers, url, name)
    databases.drop(url)


def bellwire(unpacked: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as it is in the wheel. Without `site` nobody looks for the checkout."""
    path = os.pathsep.join([str(unpacked), sysconfig.get_path("purelib")])
    return subprocess.run(
        [sys.executable, "-S", "-m", "bellwire", *words],
        env={**os.environ, **environment, "PYTHONPATH": path},
        cwd=unpacked.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_migrates(unpacked: Path, environment: dict[str, str]) -> None:
    migrated = bellwire(unpacked, "migrate", **environment)
    made = bellwire(unpacked, "create-key", "first", **environment)

    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert made.stdout.startswith("bw_live_"), made.stderr


def test_a_wheel_has_the_bell(unpacked: Path) -> None:
    built = ROOT / "src" / "entrypoints" / "http" / "element"
    packed = unpacked / "entrypoints" / "http" / "element"

    assert (packed / "v1.js").exists()
    assert {path.name: path.read_bytes() for path in packed.iterdir()} == {
        path.name: path.read_bytes() for path in built.iterdir()
    }


def test_a_wheel_leaves_the_workbench_out(unpacked: Path) -> None:
    assert not (unpacked / "workbench").exists()
    assert (unpacked / "entrypoints" / "http" / "demo" / "page.html").exists()

    refused = bellwire(unpacked, "dev")
    assert refused.returncode == 2
    assert "invalid choice: 'dev'" in refused.stderr


def test_a_wheel_has_the_client_of_its_commands(unpacked: Path) -> None:
    words = ("publish", "ada", "--message", "Hello", "--url", "http://127.0.0.1:9")
    done = bellwire(unpacked, *words, BELLWIRE_API_KEY="bw_live_0_0")

    assert (unpacked / "bellwire_client" / "py.typed").exists()
    assert done.returncode == 1
    assert done.stderr.startswith("bellwire: no service answers at http://127.0.0.1:9 ")
