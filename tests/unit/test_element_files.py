"""The built files of the bell, as they are in the tree: what they weigh, and what they never do."""

import gzip
import re
from collections.abc import Iterator

import pytest

from entrypoints.http.element import ENTRY, FOLDER, modules

BUILT = modules()
MOST_AT_ONCE = 16_000
MOST_ON_DEMAND = 2_000
# Strings that become markup or code, and inline styles: a strict policy or Trusted Types would forbid them.
FORBIDDEN = [
    r"\b(?:inner|outer)HTML\b",
    r"\binsertAdjacentHTML\b",
    r"\bsetHTML",
    r"\bparseFromString\b",
    r"\bcreateContextualFragment\b",
    r"\bsrcdoc\b",
    r"\bdocument\.write",
    r"\beval\b",
    r"\bFunction\(",
    r"(?<![\w-])style\s*[:=]",
    r"""["'`]style["'`]""",
    r"\bcssText\b",
]


def loaded(name: str) -> Iterator[str]:
    """The file and what it imports at once."""
    yield name
    for imported in re.findall(
        r"""(?:\bfrom|\bimport)\s*["']\./([^"']+)["']""", BUILT[name].content.decode()
    ):
        yield from loaded(imported)


def weight(name: str) -> int:
    return len(gzip.compress(BUILT[name].content, 9, mtime=0))


def test_what_a_page_loads_at_once_is_small() -> None:
    assert sum(map(weight, set(loaded(ENTRY)))) <= MOST_AT_ONCE


def test_the_entry_is_one_file() -> None:
    """One integrity covers it, and during a rolling deployment nothing it needs is missing elsewhere."""
    assert list(loaded(ENTRY)) == [ENTRY]


@pytest.mark.parametrize("name", sorted(name for name in BUILT if not name.startswith("v1")))
def test_what_is_loaded_on_demand_is_smaller(name: str) -> None:
    assert weight(name) <= MOST_ON_DEMAND
    assert list(loaded(name)) == [name]
    assert f'import("./{name}")' in BUILT[ENTRY].content.decode()


def test_the_entry_has_one_copy_for_good_and_nothing_is_left_over() -> None:
    text = BUILT[ENTRY].content.decode()
    (copy,) = [name for name in BUILT if name != ENTRY and BUILT[name].content == BUILT[ENTRY].content]

    assert re.fullmatch(r"v1-[0-9A-F]{8}\.js", copy)
    assert {path.name for path in FOLDER.iterdir()} == {
        ENTRY,
        copy,
        *re.findall(r'import\("\./([^"]+)"\)', text),
    }


@pytest.mark.parametrize("name", sorted(BUILT))
@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_string_becomes_markup_or_code(name: str, pattern: str) -> None:
    assert re.findall(f".{{0,30}}{pattern}.{{0,30}}", BUILT[name].content.decode()) == []
