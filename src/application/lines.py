"""The lines of an export of users, for another installation."""

from dataclasses import dataclass
from enum import StrEnum

from application.errors import Refused
from domain.identifiers import UserId

FORMAT = 1


class Kind(StrEnum):
    """What a line holds. The lines of a user are in this order."""

    HEAD = "head"
    CATEGORY = "category"
    USER = "user"
    FEED = "feed"
    NOTIFICATION = "notification"
    WITHHELD = "withheld"
    ALARM = "alarm"
    USER_END = "user-end"
    END = "end"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an export."""

    kind: Kind
    row: str = "{}"
    """A JSON object: a row of the store, which nothing but the store looks into."""
    user: UserId | None = None
    count: int = 0
    """How many rows a user has, or how many users there are, on the line that ends them."""
    format: int = 0
    """On the first line."""


@dataclass(frozen=True, slots=True)
class UserLines:
    """The user and its feed."""

    id: UserId
    user: Line
    feed: Line


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a user of an export."""

    user: UserId
    rows: int
    outcome: str
    """`imported`, `present`, or why it was refused."""

    @property
    def refused(self) -> bool:
        """Whether it is not there and should be."""
        return self.outcome not in {"imported", "present"}


class Unfit(Refused):
    """An export that cannot be imported."""

    def __init__(self, detail: str) -> None:
        super().__init__("export", f"This is no export that can be imported: {detail}.")
