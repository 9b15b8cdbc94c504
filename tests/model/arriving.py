"""Days in the life of a feed, for Hypothesis: whatever arrives, in whatever order and batches, and however
often, and whatever the user does in between, the feed is what the sequential model says.

After every step: I1 (accepted is stored, withheld or a dead letter), I13 (counts), I14 (groups), I15
(revisions), I16 (preferences).
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from hypothesis import strategies as st

from application.feeds import Appended
from application.ports import Categories, Feeds, Preferences
from common import wire
from domain.arrivals import Arrival
from domain.category import Category
from domain.feed import Cursor
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification, Retraction
from domain.rich import Actor
from domain.states import Mark
from tests.build import NOW, a_content, an_id
from tests.contracts import everything
from tests.model.history import History
from tests.model.sequential import MONTH, Row, Sequential, as_row

STRANGER = UserId("stranger")
NAMES = ("a", "b")
# Of each key all collapse in the same way: I14 is about these. Those of the last may collapse either way.
KEYS = {"unread": ("unread",), "always": ("always",), "either": ("unread", "always")}
MARKS = (Mark.SEEN, Mark.READ, Mark.UNREAD, Mark.ARCHIVED, Mark.UNARCHIVED)
BEGIN = NOW + timedelta(days=1)


@dataclass(frozen=True)
class Deliver:
    """One batch: what is new, and what was delivered before (by its place)."""

    arrivals: tuple[Arrival | int, ...]


@dataclass(frozen=True)
class Marks:
    """The user marks some by their numbers, or everything that is there, or of a category."""

    mark: Mark
    numbers: tuple[int, ...] | str | None


@dataclass(frozen=True)
class Choose:
    """The user chooses."""

    choices: Mapping[str, bool | None]


@dataclass(frozen=True)
class Refine:
    """An operator says what a category is."""

    category: Category


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    time: timedelta


Step: TypeAlias = Deliver | Marks | Choose | Refine | Wait

_NUMBERS = st.integers(1, 8)
_SENDERS = st.sampled_from([None, "key"])


def _at(number: int) -> datetime:
    return NOW + timedelta(hours=number)


@st.composite
def _contents(draw: st.DrawFn, number: int) -> dict[str, Any]:
    key = draw(st.sampled_from([None, *KEYS]))
    collapse = draw(st.sampled_from(KEYS[key])) if key else "unread"
    name = draw(st.sampled_from([None, "Ada", "Bob", "Cyd", "Dee"]))
    days = draw(st.sampled_from([None, None, None, 1, 2, 50]))
    return {
        "message": draw(st.sampled_from(["x", "y", "z"])),
        "category": draw(st.sampled_from(NAMES)),
        "collapse_key": key,
        "collapse": collapse,
        "actor": None if name is None else Actor(name=name),
        "expires_at": None if days is None else _at(number) + timedelta(days=days),
    }


@st.composite
def _arrivals(draw: st.DrawFn) -> Arrival | int:
    kind = draw(st.sampled_from(["draft"] * 4 + ["edit", "retraction"] + ["again"] * 2))
    number, sender = draw(_NUMBERS), draw(_SENDERS)
    user = UserId("somebody") if draw(st.integers(0, 20)) else STRANGER
    if kind == "again":
        return draw(st.integers(0, 1_000))
    own_only = kind != "draft" and sender is not None and draw(st.booleans())
    if kind == "retraction":
        return Retraction(user, an_id(number, _at(number)), sender, own_only)
    draft = Draft(an_id(number, _at(number)), _at(number), a_content(user, **draw(_contents(number))), sender)
    if kind == "draft":
        return draft
    return replace(draft, revision=draw(st.integers(1, 3)), unread=draw(st.booleans()), own_only=own_only)


_CATEGORIES = st.builds(
    Category,
    id=st.sampled_from(NAMES),
    mandatory=st.booleans(),
    default_on=st.booleans(),
    expires_after=st.sampled_from([None, None, timedelta(days=3)]),
)
_STEPS: st.SearchStrategy[Step] = st.one_of(
    *[st.builds(Deliver, st.lists(_arrivals(), min_size=1, max_size=5).map(tuple))] * 4,
    *[
        st.builds(
            Marks,
            st.sampled_from(MARKS),
            st.lists(_NUMBERS, min_size=1, max_size=3, unique=True).map(tuple)
            | st.sampled_from([None, *NAMES]),
        )
    ]
    * 2,
    st.builds(
        Choose,
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from([True, False, None]), min_size=1),
    ),
    st.builds(Refine, _CATEGORIES),
    st.builds(Wait, st.sampled_from([timedelta(hours=5), timedelta(days=2), timedelta(days=29)])),
)
LIVES = st.lists(_STEPS, min_size=1, max_size=14)


@dataclass(kw_only=True)
class Life:
    """A user of a store, and of the model."""

    user: UserId
    feeds: Feeds
    preferences: Preferences
    categories: Categories
    read_withheld: Callable[[], Awaitable[Sequence[tuple[UserId, NotificationId]]]]
    model: Sequential = field(default_factory=Sequential)
    now: datetime = BEGIN
    delivered: list[Arrival] = field(default_factory=list)
    strange: int = 0
    senders: dict[NotificationId, str | None] = field(default_factory=dict)
    revived: set[NotificationId] = field(default_factory=set)
    """What the user or its producer brought back beside others with its key."""
    revisions: dict[NotificationId, int] = field(default_factory=lambda: defaultdict(int))
    """The highest that has come of each, from a key that may change it."""

    async def play(self, steps: Sequence[Step]) -> None:
        """Live through these steps."""
        self.history = History(await self.feeds.feed(self.user), wire.render)
        for step in steps:
            match step:
                case Deliver():
                    await self._deliver(step)
                case Marks():
                    await self._mark(step)
                case Choose():
                    await self._choose(step.choices)
                case Refine():
                    assert await self.categories.set(step.category)
                    self.model.categories = {**self.model.categories, step.category.id: step.category}
                case Wait():
                    self.now += step.time
            await self._check()

    # --- what happens ---

    async def _deliver(self, batch: Deliver) -> None:
        arrivals = [found for one in batch.arrivals if (found := self._found(one)) is not None]
        self.delivered += arrivals
        before = {one: row.archived for one, row in self.model.rows.items()}
        for arrival in arrivals:
            if arrival.user_id == self.user:
                self._model(arrival)
        appended = await self.feeds.append(arrivals, self.now)
        self._check_told(arrivals, appended, before)
        for change in (*appended.changed, *appended.added):
            self.history.tell(change)

    def _found(self, one: Arrival | int) -> Arrival | None:
        if isinstance(one, int):
            return self.delivered[one % len(self.delivered)] if self.delivered else None
        if one.user_id == STRANGER:
            return one
        if isinstance(one, Retraction):
            return replace(one, user_id=self.user)
        return replace(one, content=replace(one.content, user_id=self.user))

    def _model(self, arrival: Arrival) -> None:
        if isinstance(arrival, Draft):
            if not arrival.own_only:
                self.revisions[arrival.id] = max(self.revisions[arrival.id], arrival.revision)
            if arrival.unread:
                self.revived.add(arrival.id)
        self.model.take(arrival, self.now)
        self.senders = {one: row.sender for one, row in self.model.rows.items()}

    def _check_told(
        self, arrivals: Sequence[Arrival], appended: Appended, before: Mapping[NotificationId, bool]
    ) -> None:
        strange = [arrival for arrival in arrivals if arrival.user_id == STRANGER]
        assert list(appended.unknown) == strange
        assert all(arrival.own_only for arrival in appended.foreign)
        for added in appended.added:
            for item in added.notifications:
                assert item.id not in before, f"{item.id} was there before"
                assert self.model.wants(item.category), f"I16: {item} is not wanted"

    async def _mark(self, step: Marks) -> None:
        if isinstance(step.numbers, tuple):
            ids = [an_id(number, _at(number)) for number in step.numbers]
            marked = await self.feeds.mark(self.user, step.mark, ids, self.now)
            rows = [self.model.rows[one] for one in ids if one in self.model.rows]
            chosen = set(ids)
        else:
            feed = await self.feeds.feed(self.user)
            cursor = Cursor(feed.epoch, feed.version)
            marked = await self.feeds.mark_up_to(
                self.user, step.mark, cursor, self.now, category=step.numbers
            )
            rows = [row for row in self.model.rows.values() if step.numbers in {None, row.category}]
            chosen = set(self.model.rows)
        for row in rows:
            self.model.mark(step.mark, row)
        if step.mark in {Mark.UNREAD, Mark.UNARCHIVED}:
            self.revived |= chosen
        self.history.tell(marked)

    async def _choose(self, choices: Mapping[str, bool | None]) -> None:
        self.history.tell(await self.preferences.choose(self.user, choices))
        for name, chosen in choices.items():
            self.model.choices.pop(name, None)
            if chosen is not None:
                self.model.choices[name] = chosen

    # --- what must be true then ---

    async def _check(self) -> None:
        stored = await everything(self.feeds, self.user)  # I13
        self.history.check_whole()
        assert {item.id: item for item in stored} == self.history.held
        assert await self.feeds.feed(self.user) == self.history.feed
        visible = {item.id: item for item in stored if item.retracted_at is None}
        self._check_rows(visible)
        await self._check_account({item.id for item in stored})
        self._check_groups(visible)
        for one, item in visible.items():
            assert item.revision >= self.revisions[one], f"I15: {item} is not of the highest revision"

    def _check_rows(self, visible: Mapping[NotificationId, Notification]) -> None:
        expected = {one: _comparable(row) for one, row in self.model.rows.items()}
        found = {one: _comparable(as_row(item, self.senders.get(one))) for one, item in visible.items()}
        assert found == expected

    async def _check_account(self, stored: set[NotificationId]) -> None:
        withheld = {one for user, one in await self.read_withheld() if user == self.user}
        accepted = {arrival.id for arrival in self.delivered if arrival.user_id == self.user}
        assert stored | withheld == accepted, "I1: accepted is stored or withheld"
        assert not stored & withheld, "I1: nothing is both"

    def _check_groups(self, visible: Mapping[NotificationId, Notification]) -> None:
        groups: dict[str, list[Notification]] = defaultdict(list)
        for item in visible.values():
            may_join = item.unread if item.collapse_key == "unread" else item.archived_at is None
            recent = item.created_at > self.now - MONTH
            if item.collapse_key in {"unread", "always"} and may_join and recent:
                groups[item.collapse_key] += [] if item.id in self.revived else [item]
        assert all(len(group) <= 1 for group in groups.values()), f"I14: {groups}"


def _comparable(row: Row) -> Row:
    return replace(row, actors=set(map(str, range(len(row.actors)))))
