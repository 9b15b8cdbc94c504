"""The lines of an export, and what an import makes of them, without a store."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from application.audit import THE_SERVICE, Action, Entry
from application.lines import FORMAT, Kind, Line, Moved, Unfit, UserLines
from application.moving import ImportUsers
from application.restoring import ResetFeeds
from common import lines
from domain.errors import UserTaken
from domain.feed import Feed, Settled
from domain.identifiers import UserId
from tests.build import ADA, BOB, a_feed
from tests.memory import MemoryAudit

HEAD, END = Line(Kind.HEAD, format=FORMAT), Line(Kind.END, count=1)
FEW, MANY = 3, 1_234


class Store:
    """MovingIn, as far as the use case sees it."""

    def __init__(self, present: Sequence[UserId] = (), erased: Sequence[UserId] = ()) -> None:
        self.present, self.erased = present, erased
        self.batches: list[int] = []
        self.entered: list[Line] = []

    async def prepare(self, head: Line) -> None:
        assert head == HEAD

    async def enter(self, categories: Sequence[Line]) -> None:
        self.entered += categories

    async def take(self, user: UserLines, batches: Iterator[Sequence[Line]], entry: Entry) -> Feed | None:
        assert (entry.action, entry.target) == (Action.USER_IMPORTED, user.id)
        if user.id in self.present:
            return None
        if user.id in self.erased:
            raise UserTaken
        self.batches += map(len, batches)
        return a_feed(user=user.id)


class Announcer:
    def __init__(self) -> None:
        self.told: list[UserId] = []

    async def announce(self, changes: Sequence[object]) -> None:
        self.told += [change.feed.user_id for change in changes if isinstance(change, Settled)]


def a_user(user: UserId, rows: int = FEW, row: str = "{}") -> list[Line]:
    several = [Line(Kind.NOTIFICATION, row)] * rows
    end = Line(Kind.USER_END, user=user, count=rows + 2)
    return [Line(Kind.USER, user=user), Line(Kind.FEED), *several, end]


def imported(store: Store, announcer: Announcer, given: Sequence[Line]) -> list[Moved]:
    async def run() -> list[Moved]:
        use_case = ImportUsers(store=store, announcer=announcer)
        return [moved async for moved in use_case(iter(given), THE_SERVICE)]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "line",
    [
        HEAD,
        END,
        Line(Kind.USER, '{"id":"ada"}', ADA),
        Line(Kind.NOTIFICATION, '{"metadata": "{\\"\\u00fc\\": 1.50}", "n": 100000000000000000000}'),
        Line(Kind.USER_END, user=ADA, count=5),
    ],
)
def test_a_line_is_read_as_it_was_written(line: Line) -> None:
    assert list(lines.read([lines.write(line)])) == [line]


def test_what_is_no_line_names_its_number() -> None:
    with pytest.raises(Unfit, match="line 2"):
        list(lines.read([lines.write(HEAD), b'{"type":"spell"}']))


def test_users_are_imported_unless_they_are_there_or_were_erased() -> None:
    store, announcer = Store([ADA], [BOB]), Announcer()
    carol = UserId("carol")
    given = [HEAD, Line(Kind.CATEGORY), *(line for user in (ADA, BOB, carol) for line in a_user(user))]

    moved = imported(store, announcer, [*given, Line(Kind.END, count=3)])

    assert [(one.user, one.rows, one.refused) for one in moved] == [
        (ADA, FEW + 2, False),
        (BOB, FEW + 2, True),
        (carol, FEW + 2, False),
    ]
    assert [one.outcome for one in moved][::2] == ["present", "imported"]
    assert (announcer.told, store.entered) == ([carol], [Line(Kind.CATEGORY)])


@pytest.mark.parametrize(
    ("rows", "row", "sizes"),
    [(MANY, "{}", [500, 500, 234]), (FEW, "x" * 3 * 1024 * 1024, [2, 1]), (0, "", [])],
)
def test_only_so_much_is_in_memory_at_a_time(rows: int, row: str, sizes: list[int]) -> None:
    store = Store()

    imported(store, Announcer(), [HEAD, *a_user(ADA, rows, row), END])

    assert store.batches == sizes


WHOLE = [HEAD, *a_user(ADA), END]


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_what_is_cut_off_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(Unfit):
        imported(Store(), Announcer(), WHOLE[:cut])


@pytest.mark.parametrize("missing", range(len(WHOLE)))
@pytest.mark.parametrize("present", [True, False])
def test_what_lacks_a_line_is_refused(missing: int, *, present: bool) -> None:
    """Also if the user is passed over."""
    with pytest.raises(Unfit):
        imported(Store([ADA] if present else []), Announcer(), WHOLE[:missing] + WHOLE[missing + 1 :])


def test_feeds_are_reset_until_none_is_left() -> None:
    users = [UserId(f"u{n:04}") for n in range(2_500)]

    class Epochs:
        async def renew(self, after: UserId | None, limit: int) -> tuple[int, UserId | None]:
            found = [user for user in users if user > (after or "")][:limit]
            return len(found), found[-1] if found else None

    async def run() -> list[int]:
        return [count async for count in ResetFeeds(epochs=Epochs(), audit=audit)(THE_SERVICE)]

    audit = MemoryAudit()
    assert asyncio.run(run()) == [1_000, 1_000, 500]
    assert audit.entries == [Entry(THE_SERVICE, Action.FEEDS_RESET)]
