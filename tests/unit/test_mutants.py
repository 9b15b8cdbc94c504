"""The list of planted bugs fits the code: each can be planted, and its tests are there."""

import re

import pytest

from tests.mutants.bugs import PLANTED
from tests.mutants.mutant import ROOT, Mutant

CONTRACTS = (ROOT / "tests/contracts.py").read_text()


def test_no_two_have_the_same_name() -> None:
    assert len({mutant.name for mutant in PLANTED}) == len(PLANTED)


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_it_can_be_planted(mutant: Mutant) -> None:
    planted = mutant.planted(ROOT)

    assert planted != (ROOT / mutant.file).read_text()
    compile(planted, mutant.file, "exec")


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_what_is_to_catch_it_is_there(mutant: Mutant) -> None:
    assert mutant.suites
    for selection in mutant.tests:
        file, *names = selection.split("::")
        text = (ROOT / file).read_text()
        for name in names:
            inherited = CONTRACTS if name.startswith("test_") else ""
            assert re.search(rf"(def|class) {re.escape(name)}\b", text + inherited), selection
