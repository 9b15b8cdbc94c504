"""Frozen dataclasses that are quick to make.

A frozen dataclass sets each of its fields by a call of `object.__setattr__`. For the 24 fields of a
notification that takes three times as long as assigning them, and it was a sixth of what storing one costs a
consumer. So an object is assigned to while it has another class, with the same slots and nothing that forbids
it, and only then gets its own.
"""

from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots another `__init__`, which does the same. It pays from about four
    fields on.
    """
    own: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
    names: dict[str, Any] = {
        "_set": object.__setattr__,
        "_Own": cls,
        "_Open": type(cls.__name__, (), {"__slots__": [one.name for one in own]}),
        "_MISSING": MISSING,
        **{f"_of_{one.name}": one.default for one in own if one.default is not MISSING},
        **{f"_make_{one.name}": one.default_factory for one in own},
    }
    # As the standard library does: a function that takes each argument by its name is the quickest.
    exec("\n    ".join(_lines(cls, own)), names)  # noqa: S102 - of our own source alone
    made = names["__init__"]
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls


def _lines(cls: type, own: tuple[Field[Any], ...]) -> list[str]:
    taken = ", ".join(["self", *(["*"] if own[0].kw_only else []), *map(_argument, own)])
    return [
        f"def __init__({taken}):",
        '_set(self, "__class__", _Open)',
        *(f"self.{one.name} = {_value(one)}" for one in own),
        "self.__class__ = _Own",
        *(["self.__post_init__()"] if hasattr(cls, "__post_init__") else []),
    ]


def _argument(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return f"{one.name}=_of_{one.name}"
    return one.name if one.default_factory is MISSING else f"{one.name}=_MISSING"


def _value(one: Field[Any]) -> str:
    if one.default_factory is MISSING:
        return one.name
    return f"_make_{one.name}() if {one.name} is _MISSING else {one.name}"
