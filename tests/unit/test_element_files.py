"""The built files of the bell, as they are in the tree: what they weigh, and what they never do."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoints.http.element import FOLDER, modules

BUILT = modules()
ENTRY = "v1.js"
DOCS = Path(__file__).resolve().parents[2] / "docs"
MOST_AT_ONCE = 14_000
MOST_IN_ALL = 25_000
MOST_OF_A_LANGUAGE = 2_000
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
    r"\.style\s*=(?!=)",
    r"""["'`]style["'`]""",
    r"""(?<![\w-])style:["'`][^"'`]*:""",
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
    assert sum(map(weight, loaded(ENTRY))) <= MOST_AT_ONCE


def test_so_is_all_that_a_page_can_load_in_one_language() -> None:
    assert sum(weight(name) for name in BUILT if name.startswith(("v1", "panel-"))) <= MOST_IN_ALL


def test_all_that_is_loaded_at_once_is_one_file() -> None:
    """So one integrity covers it. The entry only passes it on, under a name that stays."""
    entry, whole = loaded(ENTRY)

    assert re.fullmatch(r"v1-[0-9A-Z]{8}\.js", whole)
    assert len(BUILT[entry].content) < 200


@pytest.mark.parametrize("name", sorted(name for name in BUILT if not name.startswith("v1")))
def test_what_is_loaded_on_demand_shares_the_file_with_everything(name: str) -> None:
    """Whichever name a page has loaded, there is one instance."""
    _, whole = loaded(ENTRY)
    own, *others = loaded(name)

    assert set(others) <= {whole}
    assert f'import("./{own}")' in BUILT[whole].content.decode()
    if not own.startswith("panel-"):
        assert weight(own) <= MOST_OF_A_LANGUAGE


def test_the_docs_say_what_it_weighs() -> None:
    found = re.search(
        r"less than (\d+) kB at once and (\d+) kB more", " ".join((DOCS / "embedding.md").read_text().split())
    )
    (panel,) = [name for name in BUILT if name.startswith("panel-")]

    assert found is not None
    for said, names in zip(found.groups(), (loaded(ENTRY), [panel]), strict=True):
        assert 0 < 1000 * int(said) - sum(map(weight, names)) < 2000


def test_nothing_is_left_over() -> None:
    entry, whole = loaded(ENTRY)
    on_demand = re.findall(r'import\("\./([^"]+)"\)', BUILT[whole].content.decode())

    assert {path.name for path in FOLDER.iterdir()} == {entry, whole, *on_demand}


@pytest.mark.parametrize("name", sorted(BUILT))
@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_string_becomes_markup_or_code(name: str, pattern: str) -> None:
    assert re.findall(f".{{0,30}}{pattern}.{{0,30}}", BUILT[name].content.decode()) == []
