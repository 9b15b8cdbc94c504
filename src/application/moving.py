"""Moving users to another installation: out as lines, and in again from them."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from application.audit import Action, By, Entry, audited
from application.lines import FORMAT, Kind, Line, Moved, Unfit, UserLines
from application.ports import Announcer, AuditTrail, MovingIn, MovingOut
from domain.errors import UserTaken
from domain.feed import Settled
from domain.identifiers import UserId

_USERS_TOGETHER = 500
_ROWS_TOGETHER, _CHARACTERS_TOGETHER = 500, 4 * 1024 * 1024
_CUT_OFF = "it ends before its last line: it was cut off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportUsers:
    """Export users with everything that another installation needs to go on with them.

    Each user is of one moment. Raises Unavailable; what was exported so far is complete, and `after` goes on
    behind its last user.
    """

    store: MovingOut
    audit: AuditTrail

    async def __call__(
        self, by: By, prefix: str = "", after: UserId | None = None
    ) -> AsyncGenerator[Line, None]:
        """The lines. `prefix`: of the ids of users."""
        yield await self.store.head()
        for line in await self.store.categories():
            yield line
        count = 0
        while users := await self.store.users(prefix, after, _USERS_TOGETHER):
            for user in users:
                await audited(Entry(by, Action.USER_EXPORTED, user), self.audit.add)
                rows = 0
                async with aclosing(self.store.rows(user)) as lines:
                    async for line in lines:
                        yield line
                        rows += 1
                if rows:  # otherwise it was erased meanwhile
                    yield Line(Kind.USER_END, user=user, count=rows)
                    count += 1
            after = users[-1]
        yield Line(Kind.END, count=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportUsers:
    """Import an export. Each user is stored whole or not at all, so it may be stopped, and started again.

    Raises Unavailable, and Refused for what is no whole export; the users before that are imported.
    """

    store: MovingIn
    announcer: Announcer

    async def __call__(self, lines: Iterator[Line], by: By) -> AsyncIterator[Moved]:
        """Yield what becomes of each user. Those that exist are left as they are."""
        head = next(lines, Line(Kind.END))
        if head.kind is not Kind.HEAD or head.format != FORMAT:
            raise Unfit(f"it does not begin with the line of format {FORMAT}")
        await self.store.prepare(head)
        categories: list[Line] = []
        count = 0
        for line in lines:
            if line.kind is Kind.CATEGORY:
                categories.append(line)
                continue
            if categories:
                await self.store.enter(categories)
                categories = []
            if line.kind is Kind.END:
                if line.count != count:
                    raise Unfit(f"it has {count} users, and its last line says {line.count}")
                return
            yield await self._take(line, lines, by)
            count += 1
        raise Unfit(_CUT_OFF)

    async def _take(self, first: Line, lines: Iterator[Line], by: By) -> Moved:
        feed_line = next(lines, Line(Kind.END))
        if first.kind is not Kind.USER or first.user is None or feed_line.kind is not Kind.FEED:
            raise Unfit(f"a user does not begin with its {Kind.USER} and its {Kind.FEED}")
        user = UserLines(first.user, first, feed_line)
        counted = _Rows(user.id, lines)
        try:
            feed = await self.store.take(user, counted.batches(), Entry(by, Action.USER_IMPORTED, user.id))
        except UserTaken as error:
            outcome = str(error.detail)
        else:
            outcome = "present" if feed is None else "imported"
            if feed is not None:
                # What Redis may hold of an earlier user with this id is dropped.
                await self.announcer.announce([Settled(feed)])
        counted.skip()
        return Moved(user.id, counted.count, outcome)


class _Rows:
    """The rows of a user behind the first two."""

    def __init__(self, user: UserId, lines: Iterator[Line]) -> None:
        self._user = user
        self._lines = lines
        self._ended = False
        self.count = 2

    def batches(self) -> Iterator[Sequence[Line]]:
        """Some at a time, in bounded memory. Raises Unfit unless they end as they should."""
        batch: list[Line] = []
        characters = 0
        while not self._ended:
            line = self._next()
            if line is not None:
                batch.append(line)
                characters += len(line.row)
            if batch and (line is None or len(batch) >= _ROWS_TOGETHER or characters >= _CHARACTERS_TOGETHER):
                yield batch
                batch, characters = [], 0

    def skip(self) -> None:
        """Pass over those that are left."""
        while not self._ended:
            self._next()

    def _next(self) -> Line | None:
        line = next(self._lines, None)
        if line is None:
            raise Unfit(_CUT_OFF)
        if line.kind is not Kind.USER_END:
            self.count += 1
            return line
        self._ended = True
        if (line.user, line.count) != (self._user, self.count):
            raise Unfit(f"{self._user} has {self.count} rows, and {line.count} were exported of {line.user}")
        return None
