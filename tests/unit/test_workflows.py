"""The workflows: what they may do, and what they run."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@v\d+(\.\d+)*")
each = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)


def jobs(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())["jobs"]
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(file).values() for step in job["steps"]]


@each
def test_a_workflow_reads_only_unless_a_job_says_more(file: Path) -> None:
    assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in jobs(file).values())


@each
def test_its_actions_are_pinned_and_keep_no_credentials(file: Path) -> None:
    used = [step for step in steps(file) if "uses" in step]

    assert [step["uses"] for step in used if not PINNED.fullmatch(step["uses"])] == []
    for step in used:
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@each
def test_no_expression_is_pasted_into_a_script(file: Path) -> None:
    """It would be run: a name of a branch is anybody's text."""
    assert [step["run"] for step in steps(file) if "${{" in step.get("run", "")] == []


@each
def test_it_runs_what_exists(file: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    scripts = "\n".join(step.get("run", "") for step in steps(file))

    assert ".ci/run" in scripts
    for words in re.findall(r"make ([a-z -]+)", scripts):
        assert set(words.split()) <= targets


def test_only_what_publishes_may_identify_itself() -> None:
    release = jobs(ROOT / ".github/workflows/release.yml")
    allowed = {name: set(job.get("permissions", {})) for name, job in release.items()}

    assert allowed["build"] == set()
    assert allowed["pypi"] == allowed["npm"] == {"id-token"}
    assert all("pypi" in job["needs"] for name, job in release.items() if name == "release")
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()


@each
def test_actionlint_has_nothing_to_say(file: Path) -> None:
    if shutil.which("actionlint") is None:
        pytest.skip("there is no actionlint here (a Go module: github.com/rhysd/actionlint/cmd/actionlint)")
    done = subprocess.run(["actionlint", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
