"""README and docs say nothing that is not so, as far as that can be told without running it."""

import ast
import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from entrypoints.commands import cli
from tests.papers import PAGES, ROOT, Block, anchors, blocks
from workbench import cli as workbench

COMMANDS = cli.COMMANDS | workbench.COMMANDS
RUN = {"sh", "console", "python", "sql"}
SHOWN = {
    "text",
    "html",  # tests/browser/test_embedding.py tries what it can
    "css",
    "jsx",
    "mermaid",
}
SHELL = ("sh", "console")
GUIDES = [
    ROOT / "docs" / f"{name}.md"
    for name in ("quick-start", "concepts", "embedding", "producing", "operations")
]
"""What a reader of each kind begins with."""


def _json(code: str) -> None:
    """One document, or one a line."""
    try:
        json.loads(code)
    except json.JSONDecodeError:
        for line in code.splitlines():
            json.loads(line)


def _python(code: str) -> None:
    compile(code, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def _ini(code: str) -> None:
    configparser.ConfigParser().read_string(code)


CHECKS: dict[str, Callable[[str], object]] = {
    "ini": _ini,
    "json": _json,
    "python": _python,
    "yaml": yaml.safe_load,
}


def by_place(found: list[Block]) -> list[object]:
    return [pytest.param(block, id=block.place) for block in found]


@pytest.mark.parametrize("block", by_place(blocks()))
def test_a_block_names_its_language_and_says_why_it_is_not_run(block: Block) -> None:
    assert block.language in RUN | SHOWN | CHECKS.keys() | {"js"}
    if block.remark:
        assert block.language in RUN
        assert re.fullmatch(r"\(not run: .{8,}\)", block.remark)


@pytest.mark.parametrize("block", by_place(blocks(*CHECKS)))
def test_a_block_is_well_formed(block: Block) -> None:
    CHECKS[block.language](block.code)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node")
@pytest.mark.parametrize("block", by_place(blocks("js")))
def test_a_block_of_javascript_is_well_formed(block: Block, tmp_path: Path) -> None:
    module = tmp_path / "block.mjs"
    module.write_text(block.code, encoding="utf-8")

    done = subprocess.run(["node", "--check", module], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", by_place(blocks(*SHELL)))
def test_a_command_that_is_shown_is_one(block: Block) -> None:
    """Also where it is not run."""
    for command in block.commands:
        words = shlex.split(command.removeprefix("docker compose exec api "))
        if Path(words[0]).name == "bellwire":
            _parse(words[1:])
        if words[0] == "make":
            assert _targets(words[1:]) <= _makefile()
        for word in words:
            if word.startswith(("tests/", "examples/", "docs/", "./clients/")):
                assert (ROOT / word).exists()


def _parse(words: list[str]) -> None:
    try:
        cli.parser(COMMANDS).parse_args(words)
    except SystemExit:
        pytest.fail(f"bellwire does not take {words}")


def _targets(words: list[str]) -> set[str]:
    return {word for word in words if "=" not in word}


def _makefile() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_a_page_names_commands_and_targets_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert set(re.findall(r"`bellwire ([a-z][a-z-]*)", text)) <= COMMANDS.keys()
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= _makefile()


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_a_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    own = [link for link in links if "://" not in link]

    lacking = [link for link in own if not _leads_somewhere(page, link)]

    assert lacking == []


def test_the_guide_for_language_models_has_the_form_of_llmstxt_org() -> None:
    """A title, a summary, and lists of links with a line on each; all of them in this repository."""
    title, summary, *rest = (ROOT / "llms.txt").read_text(encoding="utf-8").split("\n\n")
    listed = [line for part in rest for line in part.splitlines() if line.startswith("-")]
    links = [re.fullmatch(r"- \[[^]]+\]\(([\w/.-]+)\): \S.+", line) for line in listed]

    assert re.fullmatch("# .+", title)
    assert re.fullmatch("> .+", summary)
    assert [line for line, link in zip(listed, links, strict=True) if not link] == []
    assert [link[1] for link in links if link and not (ROOT / link[1]).is_file()] == []
    assert {page.relative_to(ROOT).as_posix() for page in GUIDES} <= {link[1] for link in links if link}


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))
