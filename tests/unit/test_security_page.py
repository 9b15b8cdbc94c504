"""docs/security.md names tests that exist, and planted bugs that are planted."""

import re
from pathlib import Path

import pytest

from tests.mutants import bugs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", PAGE)))


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_a_test_that_the_page_names_exists(file: str) -> None:
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    lacking = [name for where, name in NAMED if where == file and f"def {name}(" not in text]
    assert lacking == []


def test_a_test_that_is_named_without_its_file_is_one_of_redis() -> None:
    text = (ROOT / "tests/integration/test_redis_trust.py").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"`(test_\w+)`", PAGE) if f"def {name}(" not in text] == []


def test_a_planted_bug_that_the_page_names_is_planted() -> None:
    guards = PAGE.partition("## Guards that were taken out")[2].partition("### Not taken out")[0]
    named = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", guards))
    assert named - {mutant.name for mutant in bugs.PLANTED} == set()
