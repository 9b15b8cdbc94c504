"""A planted bug: one small change to the product that a test has to notice."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Suite(StrEnum):
    """The suites, quickest first. The value is the folder below `tests/`."""

    UNIT = "unit"
    MODEL = "model"
    SIMULATION = "simulation"
    INTEGRATION = "integration"


class Stale(Exception):
    """The text that a planted bug replaces is not in its file, or is there more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One planted bug."""

    name: str
    breaks: str
    """What is wrong with the product once it is planted, in one sentence."""
    file: str
    """Which file it changes, from the root of the checkout."""
    old: str
    """The text that it replaces. It must be in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """What is run to catch it, as pytest selections (files or node ids)."""

    @property
    def suites(self) -> tuple[Suite, ...]:
        """Which suites its tests belong to, quickest first."""
        return tuple(suite for suite in Suite if self.of(suite))

    def of(self, suite: Suite) -> tuple[str, ...]:
        """Those of its tests that belong to a suite."""
        return tuple(test for test in self.tests if test.startswith(f"tests/{suite}/"))

    def planted(self, root: Path) -> str:
        """Its file as it is with the bug. Raises Stale."""
        path = root / self.file
        if not path.is_file():
            raise Stale(f"{self.name}: there is no {self.file}")
        text = path.read_text()
        if (found := text.count(self.old)) != 1:
            raise Stale(f"{self.name}: {self.file} has the text to replace {found} times, not once")
        return text.replace(self.old, self.new)
