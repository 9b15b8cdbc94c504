"""docs/connecting.md: each row of its tables says how a way was tried, by a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/connecting.md").read_text(encoding="utf-8")
TABLES = re.findall(r"^\| Way \| Tried with \| Test \|\n.*\n((?:\|.*\n)*)", PAGE, re.MULTILINE)
ROWS = [row for table in TABLES for row in table.splitlines()]


def test_each_part_of_the_page_has_its_table() -> None:
    parts = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert len(TABLES) == len(parts) == 4
    assert all(TABLES)


def ids(row: str) -> str:
    return row.split("|")[1].strip()


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_a_row_names_a_test_that_exists_or_says_that_there_is_none(row: str) -> None:
    _, _way, _tried, named, _ = row.split("|")
    tests = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", named)
    assert tests or "not tried" in named
    for file, test in tests:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
