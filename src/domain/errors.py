"""The errors of requests that break a rule of the domain.

DomainError
 ├── Invalid              the input itself is wrong; carries one message per field
 ├── UnknownUser
 ├── UnknownNotification
 ├── AlreadyActed
 ├── UserTaken
 └── TooManyCategories

A class's docstring is the error text that callers see if no more precise one is given.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class DomainError(Exception):
    """The request breaks a rule."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field that breaks a rule, and the rule."""

    field: str
    message: str


class Invalid(DomainError):
    """The input breaks a rule."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{error.field} {error.message}" for error in self.errors))


@contextmanager
def gathered(errors: list[FieldError]) -> Iterator[None]:
    """Add the field errors of an Invalid to a list, so that one answer can name all of them."""
    try:
        yield
    except Invalid as error:
        errors += error.errors


class UnknownUser(DomainError):
    """There is no such user."""


class UnknownNotification(DomainError):
    """There is no such notification in this feed."""


class AlreadyActed(DomainError):
    """The notification was answered with another action."""


class UserTaken(DomainError):
    """A user with this id or e-mail address already exists."""


class TooManyCategories(DomainError):
    """There are as many categories as there can be."""
