"""The element built again from its sources, and its package as npm installs it. It takes Node and npm."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrypoints.http.element import FOLDER

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "clients"
LEFT_OUT = shutil.ignore_patterns("dist", "types", "node_modules", "test", "*.tgz")
NO_MODULES = "npm could not get esbuild and TypeScript"
USAGE = """
import { BellwireInbox, type Strings } from 'bellwire-element';

const inbox: BellwireInbox = document.createElement('bellwire-inbox');
inbox.user = 'ada';
inbox.token = async () => 'a token';
inbox.strings = { title: 'Mail' } satisfies Partial<Strings>;
inbox.open();
// @ts-expect-error there is no such text
inbox.strings = { titel: 'Mail' };
// @ts-expect-error a token is a function
document.querySelector('bellwire-badge')!.token = 'a token';
"""
IMPORTED = """
import { BellwireBadge, BellwireInbox, BellwirePreferences } from 'bellwire-element';
import manifest from 'bellwire-element/custom-elements.json' with { type: 'json' };
console.log([BellwireBadge, BellwireInbox, BellwirePreferences].map((one) => one.name.length > 0).join());
console.log(manifest.schemaVersion);
"""


def run(words: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def succeed(words: Sequence[str | Path], folder: Path) -> str:
    done = run(words, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the clients' sources, with what building the element takes."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node with npm here")
    folder = tmp_path_factory.mktemp("element")
    for name in ("element", "javascript"):
        shutil.copytree(CLIENTS / name, folder / name, ignore=LEFT_OUT)
    installed = CLIENTS / "element" / "node_modules"
    if installed.exists():
        (folder / "element" / "node_modules").symlink_to(installed)
    elif run(["npm", "install", "--no-audit", "--no-fund"], folder / "element").returncode:
        pytest.skip(NO_MODULES)
    return folder / "element"


@pytest.fixture(scope="module")
def installed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application that has installed the package."""
    application = tmp_path_factory.mktemp("application")
    succeed(["npm", "pack", "--pack-destination", application], sources)
    (application / "package.json").write_text('{"private": true, "type": "module"}')
    (package,) = application.glob("*.tgz")
    succeed(["npm", "install", "--offline", "--no-audit", "--no-fund", package], application)
    return application


def test_the_files_that_are_served_are_those_of_the_sources(sources: Path, tmp_path: Path) -> None:
    """If not: cd clients/element && npm install && npm run serve, and commit what changed."""
    succeed(["node", "build.mjs", tmp_path / "built"], sources)

    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == {
        path.name: path.read_text() for path in (tmp_path / "built").iterdir()
    }


def test_the_sources_are_typed(sources: Path) -> None:
    succeed(["npm", "run", "check"], sources)


def test_the_package_has_what_it_names(installed: Path) -> None:
    package = installed / "node_modules" / "bellwire-element"
    about = json.loads((package / "package.json").read_text())
    named = [about["types"], about["customElements"], *about["exports"]["."].values(), "README.md", "LICENSE"]

    assert [name for name in named if not (package / name).is_file()] == []
    assert {path.name for path in package.iterdir()} == {
        *("README.md", "LICENSE", "CHANGELOG.md", "package.json", "custom-elements.json", "dist", "types")
    }
    assert "dependencies" not in about


def test_a_server_that_renders_pages_may_import_it(installed: Path) -> None:
    (installed / "server.mjs").write_text(IMPORTED)

    said = succeed(["node", "--no-warnings", "server.mjs"], installed)

    assert said.split() == ["true,true,true", "1.0.0"]


def test_an_application_in_typescript_sees_the_types(installed: Path, sources: Path) -> None:
    (installed / "usage.ts").write_text(USAGE)
    options = ["--strict", "--noEmit", "--target", "es2023", "--module", "esnext"]
    options += ["--moduleResolution", "bundler", "--lib", "es2023,dom,dom.iterable", "--types", ""]

    succeed([sources / "node_modules" / ".bin" / "tsc", *options, "usage.ts"], installed)


def test_a_bundler_takes_it_apart_again(installed: Path, sources: Path) -> None:
    """The languages stay files of their own."""
    (installed / "page.js").write_text("import 'bellwire-element';\n")
    bundle = ["--bundle", "--splitting", "--format=esm", "--outdir=bundled", "page.js"]

    succeed([sources / "node_modules" / ".bin" / "esbuild", *bundle], installed)

    assert {"page", "de", "ja"} <= {
        path.name.split("-")[0].split(".")[0] for path in (installed / "bundled").iterdir()
    }
