"""Values: dataclasses that nobody changes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a class a dataclass that the type checker treats as frozen. While the service runs it is not: a
    frozen one sets each field by a call of `object.__setattr__`, and takes three times as long for the 24
    fields of a notification. For what is made for every notification; all else is a frozen dataclass.
    """
    return dataclass(slots=True, kw_only=kw_only, unsafe_hash=True)
