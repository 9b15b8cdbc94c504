"""The code blocks of README and docs, run against one `bellwire dev`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.development import development
from tests.forked import begins_cold
from tests.papers import ROOT, Block, blocks
from workbench.programs import postgres_programs

START_SECONDS = 90
LEFT_BY_CURL = 28  # a stream, after the `max-time` of .curlrc
WALK = "docs/walkthrough.md:"
RUN = ("docs/producing.md:", "docs/quick-start.md:")
"""Pages whose blocks of Python are whole programs."""
END_OF_BLOCK = "-- end of block --"
VARIES = {
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "an id",
    r"\b[0-9a-f]{8}(?=\.\d)": "an epoch",
    r"\b\d{4}-\d\d-\d\dT[\d:.]+Z": "a time",
}


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder in which what the pages say can be typed: a checkout with `bellwire dev` running."""

    folder: Path

    def paste(self, code: str) -> str:
        """What a shell prints that is given these lines, after the one that `bellwire dev` prints."""
        script = f"shopt -s expand_aliases\nset -eo pipefail\nsource .bellwire/env\n{code}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode in {0, LEFT_BY_CURL}, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def checkout(request: pytest.FixtureRequest) -> Iterator[Checkout]:
    if request.config.getoption("--servers") != "embedded":
        pytest.skip("`bellwire dev` brings its own servers")
    with TemporaryDirectory(prefix="bellwire-papers-") as name:
        folder = Path(name)
        for entry in ROOT.iterdir():
            if not entry.name.startswith("."):
                (folder / entry.name).symlink_to(entry)
        (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
        (folder / ".curlrc").write_text("silent\nshow-error\nmax-time = 3\n")
        dev = development(folder)
        begins_cold(dev)
        dev.start()
        try:
            dev.wait_ready(lambda: "Bellwire is up" in dev.log.read_text(), START_SECONDS)
            yield Checkout(folder)
        finally:
            dev.stop(START_SECONDS)


def shell_blocks() -> list[object]:
    """Those that are not run below, with a look at what they show."""
    found = [
        block
        for block in blocks("sh", "console")
        if block.runs and "createNotification" not in block.code and not block.place.startswith(WALK)
    ]
    return [pytest.param(block, id=block.place) for block in found]


@pytest.mark.parametrize("block", shell_blocks())
def test_a_block_of_commands_runs(checkout: Checkout, block: Block) -> None:
    checkout.paste("\n".join(block.commands))


def test_the_commands_of_the_readme_show_the_notification(checkout: Checkout) -> None:
    first, *_ = [block for block in blocks("sh") if "createNotification" in block.code]

    said = checkout.paste(first.code)

    accepted = re.search(r'\{"id":"([0-9a-f-]+)","status":"accepted"\}', said)
    assert accepted, said
    frames = re.findall(r'^data: (\{"type":"notifications",.*\})$', said, re.MULTILINE)
    assert accepted[1] in {item["id"] for frame in frames for item in json.loads(frame)["items"]}


def test_the_walk_through_shows_what_it_says(checkout: Checkout) -> None:
    """Its blocks one after another in one shell, each followed by what it prints."""
    page = [block for block in blocks("sh", "text") if block.place.startswith(WALK) and block.runs]
    commands = [block for block in page if block.language == "sh"]
    shown = {
        commands.index(block): after.code
        for block, after in pairwise(page)
        if (block.language, after.language) == ("sh", "text")
    }

    said = checkout.paste(f"\necho '{END_OF_BLOCK}'\n".join(block.code for block in commands))

    for nth, printed in enumerate(said.split(f"{END_OF_BLOCK}\n")):
        lines = re.sub(r"\n ", "", shown.get(nth, "")).strip().splitlines()
        assert len(printed.splitlines()) == len(lines), f"{commands[nth].place}: {printed}"
        for line, expected in zip(printed.splitlines(), lines, strict=True):
            assert re.fullmatch(_pattern(expected), _named(line)), f"{commands[nth].place}: {line}"


def _pattern(shown: str) -> str:
    """What a line must match: `…` stands for anything."""
    return ".*".join(re.escape(_named(part)) for part in re.split(r"\s*…\s*", shown))


def _named(line: str) -> str:
    """The line without what differs from run to run."""
    for what, name in VARIES.items():
        line = re.sub(what, name, line)
    return line


def test_the_commands_about_users_make_and_find_one(checkout: Checkout) -> None:
    (block,) = [block for block in blocks("sh") if "bellwire users find --email" in block.code and block.runs]

    said = checkout.paste(block.code)

    assert '"status":"accepted"' in said
    assert said.count('"id":"acme:ada","name":"Ada Lovelace","email":"ada@example.com"') == 2
    assert said.endswith("  Ada Lovelace, ada@example.com\n")
    counts = (
        'curl "$BELLWIRE_URL/v1/users/acme:ada/counts" -H "Authorization: Bearer $(bellwire token acme:ada)"'
    )
    checkout.paste(f"until {counts} | grep '\"unread_count\":[1-9]'; do sleep 0.1; done")


def test_the_commands_that_make_dev_prints_show_the_notification(checkout: Checkout) -> None:
    printed = (checkout.folder / "dev.log").read_text()
    commands = [line.strip() for line in printed.splitlines() if line.startswith("  curl")]

    said = checkout.paste("\n".join(commands))

    assert len(commands) == 2
    assert '"status":"accepted"' in said
    assert '"message":"Ada replied to you"' in said


def test_commands_reach_what_runs(checkout: Checkout) -> None:
    keys = checkout.paste("bellwire keys")
    listed = checkout.paste(
        'curl "$BELLWIRE_URL/notifications/demo" -H "Authorization: Bearer $(bellwire token demo)"'
    )

    assert "publish,users" in keys
    assert '"unread_count"' in listed
    assert checkout.paste("bellwire dlq list") == ""


def test_a_token_made_as_the_readme_says_is_taken(checkout: Checkout) -> None:
    (block,) = [block for block in blocks("python") if "jwt.encode" in block.code]
    namespace = {"BELLWIRE_TOKEN_SECRET": checkout.paste('printf %s "$BELLWIRE_TOKEN_SECRET"')}

    exec(block.code, namespace)
    token = namespace["bellwire_token"]("demo")  # type: ignore[operator]

    listed = checkout.paste(f'curl "$BELLWIRE_URL/notifications/demo" -H "Authorization: Bearer {token}"')
    assert '"unread_count"' in listed


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, id=block.place) for block in blocks("python") if block.place.startswith(RUN)],
)
def test_a_block_of_python_runs(checkout: Checkout, block: Block) -> None:
    """As it is; with `await` outside of functions as in `python -m asyncio`."""
    program = checkout.folder / "block.py"
    program.write_text(
        f"import ast, asyncio, inspect\n"
        f"code = compile({block.code!r}, 'block', 'exec', flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)\n"
        f"names = {{'__name__': '__main__'}}\n"
        f"left = eval(code, names)\n"
        f"if inspect.iscoroutine(left): asyncio.run(left)\n"
        f"assert names.get('failed', []) == []\n"
    )

    checkout.paste("PYTHONPATH=clients/python/src .venv/bin/python block.py")


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.place) for block in blocks("sql") if not block.remark]
)
def test_a_block_of_sql_runs(checkout: Checkout, block: Block) -> None:
    """In a transaction that is rolled back, with the role that operations.md speaks of."""
    url = urlsplit(checkout.paste('printf %s "$BELLWIRE_POSTGRES_URL"'))
    (host,) = parse_qs(url.query)["host"]
    psql = [str(postgres_programs() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"]

    done = subprocess.run(
        [*psql, "-h", host, "-U", "postgres", "-d", "bellwire"],
        input=f"BEGIN;\nCREATE ROLE bellwire;\n{block.code}\nROLLBACK;\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
