"""What is published: what is in it, and that the service works whole where only its package is installed."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import as_read, installation
from tests.forked import begins_cold
from tests.product import Api, Product, Service, create_users, eventually
from tests.versions import SOURCE, version_in
from workbench.embedded import EmbeddedServers, free_port
from workbench.sbom import libraries, project, write

ROOT = Path(__file__).resolve().parents[2]
VERSION = version_in(SOURCE)
LEFT_OUT = shutil.ignore_patterns("node_modules", "dist", "*.tgz", "__pycache__")


def succeed(command: Sequence[str | Path], folder: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(project: Path, folder: Path) -> tuple[Path, Path]:
    """Its wheel and its sdist."""
    succeed([sys.executable, "-m", "hatchling", "build", "--directory", folder], project)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def names(archive: Path) -> set[str]:
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as files:
        return {name.partition("/")[2] for name in files.getnames()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return built(ROOT, tmp_path_factory.mktemp("packages"))


@pytest.fixture(params=["wheel", "sdist"])
def environment_of(request: pytest.FixtureRequest, packages: tuple[Path, Path], tmp_path: Path) -> Path:
    """The folder of programs of a new environment, in which the package is installed. The libraries that it
    needs are those that are here.
    """
    package = packages[request.param == "sdist"]
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    programs = environment / "bin"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        programs / "python",
    ]
    install = ("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", package)
    succeed([*pip, *install], tmp_path)
    return programs


class Installed(Service):
    """A process of the installed command. The folder where it runs is not on its path."""

    def __init__(self, programs: Path, role: str, folder: Path, environment: Mapping[str, str]) -> None:
        port = free_port()
        ports = {"BELLWIRE_PORT": str(port), "BELLWIRE_CONSUMER_PORT": str(port)}
        super().__init__(role, role, port, log=folder / f"{role}.log", environment={**environment, **ports})
        self._command = [programs / "bellwire", role]
        begins_cold(self)


@pytest.fixture
def variables(servers: EmbeddedServers, postgres_url: str, name: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**clean, **installation(servers, postgres_url, name)}


async def test_an_installed_package_is_the_whole_service(
    environment_of: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    def bellwire(*words: str) -> str:
        done = subprocess.run(
            [environment_of / "bellwire", *words],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert bellwire("--version") == f"bellwire {VERSION}"
    python: list[str | Path] = [environment_of / "python", "-c", "import bellwire; print(bellwire.__file__)"]
    assert str(environment_of.parent) in succeed(python, tmp_path)
    await asyncio.to_thread(bellwire, "migrate")
    settings = as_read({name: value for name, value in variables.items() if name.startswith("BELLWIRE_")})
    product = Product(tmp_path, variables, settings)
    product.api_key = await asyncio.to_thread(
        bellwire, "create-key", "test", "--scope", "publish", "--scope", "users"
    )
    processes = [Installed(environment_of, role, tmp_path, variables) for role in ("api", "consumer")]
    product.started += processes
    try:
        for process in processes:
            await asyncio.to_thread(process.start)
        await asyncio.gather(*(process.healthy() for process in processes))
        api = Api(processes[0], processes[0].url, product)
        async with api.client("ada") as http:
            await create_users(http, ["ada"])
            async with api.follow("ada") as device:
                item = {"user_id": "ada", "event": "wheel.turned", "message": "whole"}
                accepted = (await http.post("/v1/notifications", json=item)).json()["id"]
                await eventually(lambda: accepted in device.items, "it is pushed")
            page = (await http.get("/v1/users/ada/notifications")).json()
            assert [one["id"] for one in page["items"]] == [accepted]
            assert (await http.get("/element/v1.js")).status_code == 200
    finally:
        await product.stop()


def test_the_packages_have_no_more_than_they_need(packages: tuple[Path, Path]) -> None:
    wheel, sdist = map(names, packages)
    tops = {name.partition("/")[0] for name in wheel}

    assert tops == {
        *("adapters", "application", "common", "domain", "entrypoints", "bellwire_client", "bellwire.py"),
        f"bellwire-{VERSION}.dist-info",
    }
    assert {"adapters/postgres/alembic/env.py", "bellwire_client/py.typed"} <= wheel
    assert {"LICENSE", "README.md", "CHANGELOG.md", "constraints.txt", "PKG-INFO"} <= sdist
    assert not {name for name in sdist if name.startswith((".bellwire", ".venv", ".ci/", ".github"))}


def test_the_python_client_is_packed(tmp_path: Path) -> None:
    wheel, sdist = map(names, built(ROOT / "clients/python", tmp_path))

    assert {name.partition("/")[0] for name in wheel} == {
        "bellwire_client",
        f"bellwire_client-{VERSION}.dist-info",
    }
    assert {"bellwire_client/py.typed", f"bellwire_client-{VERSION}.dist-info/licenses/LICENSE"} <= wheel
    assert {"CHANGELOG.md", "README.md", "LICENSE", "pyproject.toml"} <= sdist


def test_the_javascript_client_is_packed(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("there is no npm here")
    folder = tmp_path / "javascript"
    shutil.copytree(ROOT / "clients/javascript", folder, ignore=LEFT_OUT)
    (packed,) = json.loads(succeed(["npm", "pack", "--dry-run", "--json"], folder))
    files = {file["path"] for file in packed["files"]}

    assert (packed["name"], packed["version"]) == ("bellwire-client", VERSION)
    assert {name.partition("/")[0] for name in files} == {
        *("src", "types", "package.json", "README.md", "LICENSE", "CHANGELOG.md")
    }
    assert {f"src/{file.name}" for file in (folder / "src").glob("*.js")} <= files


def test_the_bill_of_materials_names_what_the_wheel_needs(tmp_path: Path) -> None:
    file = tmp_path / "bellwire.cdx.json"

    assert write(file) == 0

    text = file.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    named = {component["name"].lower().replace("_", "-"): component for component in bill["components"]}
    assert named.keys() == libraries().keys()
    assert len(named) > len(project()["dependencies"])
    assert {"pytest", "ruff", "bellwire"}.isdisjoint(named)
    assert (bill["metadata"]["component"]["name"], named["litestar"]["purl"].partition("@")[0]) == (
        "bellwire",
        "pkg:pypi/litestar",
    )
    assert all(component["version"] for component in named.values())
