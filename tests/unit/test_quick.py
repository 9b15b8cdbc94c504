"""Objects of quick classes are what they would be without `quick`."""

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import pytest

from domain.quick import quick


@dataclass(frozen=True, slots=True)
class Slow:
    """Without it."""

    first: int
    second: str = "two"
    many: list[int] = field(default_factory=list)
    of_first: int = 0

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError("first")
        object.__setattr__(self, "of_first", self.first + 1)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    """With it."""

    first: int
    second: str = "two"
    many: list[int] = field(default_factory=list)
    of_first: int = 0

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError("first")
        object.__setattr__(self, "of_first", self.first + 1)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Its fields are given by name."""

    first: int
    second: str = "two"


def _values(made: Any) -> tuple[Any, ...]:
    return made.first, made.second, made.many, made.of_first


MAKERS: list[Callable[[Any], Any]] = [
    lambda cls: cls(1),
    lambda cls: cls(1, "2", [3]),
    lambda cls: cls(first=1, many=[3]),
    lambda cls: replace(cls(1), second="other"),
    lambda cls: copy.deepcopy(cls(1, "2", [3])),
    lambda cls: pickle.loads(pickle.dumps(cls(1, "2", [3]))),
]


@pytest.mark.parametrize("make", MAKERS)
def test_it_has_the_same_fields(make: Callable[[Any], Any]) -> None:
    assert _values(make(Quick)) == _values(make(Slow))
    assert repr(make(Quick)) == repr(make(Slow)).replace("Slow", "Quick")
    assert make(Quick) == make(Quick)


def test_it_has_its_own_class() -> None:
    assert type(Quick(1)) is Quick
    assert type(replace(Quick(1), first=2)) is Quick


def test_a_default_that_is_made_is_made_each_time() -> None:
    assert Quick(1).many is not Quick(1).many


@pytest.mark.parametrize("made", [Quick(1), Named(first=1)])
def test_it_cannot_be_changed(made: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        made.first = 2
    with pytest.raises(FrozenInstanceError):
        del made.first
    with pytest.raises((AttributeError, TypeError)):
        made.third = 3
    assert made.first == 1


def test_it_is_checked() -> None:
    with pytest.raises(ValueError, match="first"):
        Quick(-1)


@pytest.mark.parametrize(
    ("cls", "positional", "named"),
    [(Quick, (), {}), (Quick, (1,), {"second": "2", "third": 3}), (Named, (1,), {}), (Named, (), {})],
)
def test_wrong_arguments_are_refused(cls: Any, positional: Any, named: Any) -> None:
    with pytest.raises(TypeError):
        cls(*positional, **named)


def test_it_can_be_hashed() -> None:
    assert hash(Named(first=1)) == hash(Named(first=1))


def test_it_takes_the_same_arguments() -> None:
    quick_ones, slow_ones = (list(inspect.signature(cls).parameters) for cls in (Quick, Slow))
    assert quick_ones == slow_ones
