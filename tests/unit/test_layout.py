"""What packaging promises: our plain package names are ours, and the pins are complete and portable."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize(
    "name", ["domain", "application", "common", "adapters", "entrypoints", "workbench", "bellwire"]
)
def test_a_package_is_the_one_in_src(name: str) -> None:
    module = importlib.import_module(name)

    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(SOURCES)


def test_the_command_is_not_shadowed_by_a_distribution_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "entrypoints.py").write_text("raise SystemExit('not ours')")
    path = os.pathsep.join([str(tmp_path), str(SOURCES)])

    done = subprocess.run(
        [sys.executable, "-m", "bellwire", "--help"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "dev" in done.stdout


def test_migrations_do_not_hide_the_library_of_that_name() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_a_pin_is_a_name_and_a_version_and_nothing_else() -> None:
    odd = [line for line in _pins() if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line)]

    assert odd == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        requirement for extra in project["optional-dependencies"].values() for requirement in extra
    ]
    names = {_normal(re.split(r"[^A-Za-z0-9_.-]", requirement)[0]) for requirement in wanted}
    pinned = {_normal(line.partition("==")[0]) for line in _pins()}

    assert names - pinned == {"bellwire"}


def test_the_python_client_needs_what_it_declares_and_nothing_of_the_service() -> None:
    package = ROOT / "clients" / "python"
    declared = tomllib.loads((package / "pyproject.toml").read_text())["project"]["dependencies"]
    imported = {
        name.partition(".")[0]
        for path in (package / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }

    libraries = {re.split(r"[^a-z]", requirement)[0] for requirement in declared}
    assert imported - sys.stdlib_module_names == {"bellwire_client", *libraries}


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            return [node.module or ""]
        case _:
            return []


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
)
def test_a_file_that_a_page_names_is_there(page: Path) -> None:
    """In full, or as it is written from `src/` or `tests/`."""
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|md))`", page.read_text()))

    lacking = [
        name for name in named if not any((root / name).exists() for root in (ROOT, SOURCES, ROOT / "tests"))
    ]

    assert lacking == []


def test_what_is_read_in_one_go_stays_small() -> None:
    """No file over 400 lines, no class over 20 methods, no function over 40 lines without its docstring."""
    large: list[str] = []
    for path in SOURCES.rglob("*.py"):
        text = path.read_text()
        if text.count("\n") > 400:
            large.append(str(path))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > 40:
                large.append(f"{path}: {node.name}")
            if isinstance(node, ast.ClassDef) and sum(map(_is_function, node.body)) > 20:
                large.append(f"{path}: {node.name}")

    assert large == []


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) and first.end_lineno else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring
