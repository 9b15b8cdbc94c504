"""What it takes to restore a database, and to move users to another installation."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Protocol

from application.audit import Entry
from application.lines import Line, UserLines
from domain.feed import Feed
from domain.identifiers import UserId


class Epochs(Protocol):
    """The epochs of all feeds. Each call is one transaction."""

    async def renew(self, after: UserId | None, limit: int) -> tuple[int, UserId | None]:
        """Give up to `limit` feeds, those that come after this user, new epochs. Returns how many it were,
        and the last of them.
        """
        ...


class MovingOut(Protocol):
    """The rows of users, as they leave an installation."""

    async def head(self) -> Line:
        """What an importing installation must have: the revision of the schema, and the months of
        notifications.
        """
        ...

    async def categories(self) -> Sequence[Line]: ...

    async def users(self, prefix: str, after: UserId | None, limit: int) -> Sequence[UserId]:
        """Up to `limit` users whose ids begin with the prefix and come after this one, in the order of their
        ids.
        """
        ...

    def rows(self, user: UserId) -> AsyncGenerator[Line, None]:
        """Every row of a user, of one moment: the user, the feed, the rest. Nothing if there is none."""
        ...


class MovingIn(Protocol):
    """The rows of users, as they enter another installation."""

    async def prepare(self, head: Line) -> None:
        """Make ready for an export with this head. Raises Refused if the schema has another revision."""
        ...

    async def enter(self, categories: Sequence[Line]) -> None:
        """Enter those categories that do not exist. Raises Refused if there would be too many."""
        ...

    async def take(self, user: UserLines, batches: Iterator[Sequence[Line]], entry: Entry) -> Feed | None:
        """Store a user with everything, in one transaction. The feed gets a new epoch; it is None if a user
        with this id exists, and then nothing is stored or read.

        Raises UserTaken if the id was erased, or the e-mail address is another user's; Refused for rows that
        do not fit; and whatever `batches` raises.
        """
        ...
