"""The list of planted bugs fits the code: each can be planted, and its tests are there."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from time import sleep

import pytest

from tests.mutants.bugs import PLANTED
from tests.mutants.copies import planted
from tests.mutants.mutant import ROOT, Mutant, Stale
from tests.mutants.running import NotRun, Runner

CONTRACTS = "".join((ROOT / f"tests/{name}.py").read_text() for name in ("contracts", "arrival_contracts"))


def test_no_two_have_the_same_name() -> None:
    assert len({mutant.name for mutant in PLANTED}) == len(PLANTED)


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_it_can_be_planted(mutant: Mutant) -> None:
    wrong = mutant.planted(ROOT)

    assert wrong != (ROOT / mutant.file).read_text()
    compile(wrong, mutant.file, "exec")


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_what_is_to_catch_it_is_there(mutant: Mutant) -> None:
    assert mutant.suites
    for selection in mutant.tests:
        file, *names = selection.split("::")
        text = (ROOT / file).read_text()
        for name in names:
            inherited = CONTRACTS if name.startswith("test_") else ""
            assert re.search(rf"(def|class) {re.escape(name)}\b", text + inherited), selection


BUG = Mutant(name="a bug", breaks="Everything.", file="a.py", old="== 1", new="== 2", tests=())


@pytest.mark.parametrize("text", ["", "a == 3", "a == 1 or b == 1"])
def test_what_is_not_there_exactly_once_is_stale(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_text(text)

    with pytest.raises(Stale):
        BUG.planted(tmp_path)


def test_a_bug_in_a_file_that_has_moved_is_stale(tmp_path: Path) -> None:
    with pytest.raises(Stale):
        replace(BUG, file="b.py").planted(tmp_path)


def test_a_bug_is_taken_out_again(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("a == 1")

    with planted(BUG, tmp_path):
        wrong = path.read_text()

    assert (wrong, path.read_text()) == ("a == 2", "a == 1")


def test_what_an_interruption_ends_says_nothing_about_its_bug(tmp_path: Path) -> None:
    runner, command = Runner(), [sys.executable, "-c", "import time; time.sleep(60)"]
    with ThreadPoolExecutor(1) as pool, TemporaryFile("w+") as output:
        ran = pool.submit(runner._status, command, tmp_path, output, 60)
        while not runner._running and not ran.done():
            sleep(0.01)
        runner.stop()

        with pytest.raises(NotRun, match="interrupted"):
            ran.result()
