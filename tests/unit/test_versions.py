"""Everything that is published has one version, which every changelog knows."""

import json
from importlib.metadata import version

import pytest

from tests.versions import CHANGELOGS, COPIES, ROOT, SOURCE, version_in


@pytest.mark.parametrize("file", COPIES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_client_has_the_version_of_the_service(file: object) -> None:
    """If not: python -m tests.versions."""
    assert version_in(file) == version_in(SOURCE)  # type: ignore[arg-type]


@pytest.mark.parametrize("file", CHANGELOGS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_changelog_has_the_version_and_what_is_not_released(file: object) -> None:
    text = file.read_text()  # type: ignore[attr-defined]

    assert f"\n## {version_in(SOURCE)}" in text
    assert text.index("\n## [Unreleased]") < text.index(f"\n## {version_in(SOURCE)}")


def test_the_names_of_the_packages_stay() -> None:
    names = [json.loads(file.read_text())["name"] for file in COPIES if file.suffix == ".json"]

    assert names == ["bellwire-client", "bellwire-element"]
    assert version("bellwire")
