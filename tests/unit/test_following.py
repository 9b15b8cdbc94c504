"""What makes a stream whole: right in every schedule, and nothing of it can go."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from application import following
from application.feeds import FeedHistory, Standing
from application.following import EARLY_FRAMES, GIVE_UP_SECONDS, Following, State
from application.following_actions import (
    Action,
    Drop,
    GiveUp,
    PassOn,
    ReadPage,
    ReadStanding,
    Replayed,
    Reset,
    StartGapTimer,
    StopGapTimer,
    View,
    Welcome,
)
from application.streams import Frame
from domain.feed import Cursor, Feed
from tests.build import ADA
from tests.model.following import Scenario, explore, planted

RIGHT = {
    "frames in any order": Scenario(commits=((0,), (1,), (0, 2), (3,))),
    "frames that come twice": Scenario(commits=((0,), (1,), (0,)), repeats=1),
    "frames that are lost": Scenario(commits=((0,), (1,), (0,)), losses=1),
    "frames that are lost or come twice": Scenario(commits=((0,), (1,)), losses=1, repeats=1),
    "frames that are lost without a word": Scenario(
        commits=((0,), (1,), (0,)), silent_losses=1, comparisons=1
    ),
    "changes too large for a frame": Scenario(commits=((0,), (1,), (0,)), large=True),
    "bare positions": Scenario(commits=((0,), (1,)), large=True, again=True),
    "more frames than are kept": Scenario(commits=((0,), (1,), (2,), (3,)), early_frames=1),
    "another epoch": Scenario(before=(0, 1), commits=((2,), (3,)), restores=1, losses=1),
    "another epoch for one who resumes": Scenario(
        before=(0, 1), asked=Cursor("e1", 1), commits=((2,), (3,)), restores=1, repeats=1
    ),
    "retention": Scenario(before=(0,), asked=Cursor("e1", 0), commits=((1,), (0,)), prunes=1),
    "a cursor below the horizon": Scenario(
        before=(0, -1, 1), horizon=2, asked=Cursor("e1", 1), commits=((0,), (2,)), losses=1
    ),
    "a store that is away now and then": Scenario(
        before=(0,), asked=Cursor("e1", 0), commits=((1,), (0,)), failures=2, losses=1
    ),
    "pages that were read for others": Scenario(
        before=(0, 1, 2, 3, 4), asked=Cursor("e1", 0), commits=((3,), (0,)), old_pages=True, losses=1
    ),
}

# What is in the text, what is put in its place, and how the world must be for that to show.
PLANTED = {
    "what was lost while the store was read is forgotten": (
        "        self._again = True\n        return _NOTHING",
        "        return _NOTHING",
        Scenario(commits=((0,),), losses=1),
    ),
    "frames of an epoch that is over stay after a reset": (
        "        self._early = None\n        self._epoch, self._version",
        "        self._epoch, self._version",
        Scenario(before=(0, 1), commits=((2,), (3,)), restores=1),
    ),
    "a frame that was told already is new": (
        "if frame.epoch == self._epoch and frame.version <= self._version:",
        "if frame.epoch == self._epoch and frame.version < self._version:",
        Scenario(commits=((0,),), repeats=1),
    ),
    "a frame of the version before is old": (
        "if frame.epoch == self._epoch and frame.version <= self._version:",
        "if frame.epoch == self._epoch and frame.prev <= self._version:",
        Scenario(commits=((0,),)),
    ),
    "the gap timer runs on when the gap has closed": (
        "        return (_STOP_TIMER,) if before is GAP else _NOTHING\n\n    # --- the store",
        "        return _NOTHING\n\n    # --- the store",
        Scenario(commits=((0,), (1,))),
    ),
    "the gap timer runs on when the gap is read": (
        "return (_STOP_TIMER, read) if before is GAP else (read,)",
        "return (read,)",
        Scenario(commits=((0,), (1,), (2,)), losses=1),
    ),
    "the gap timer is started with each frame": (
        "return _NOTHING if before is GAP else (_START_TIMER,)",
        "return (_START_TIMER,)",
        Scenario(commits=((0,), (1,), (2,))),
    ),
    "a frame is passed on over a gap": (
        "            frame.prev == self._version\n            and",
        "            frame.prev >= self._version\n            and",
        Scenario(commits=((0,), (1,))),
    ),
    "a frame is passed on whatever its epoch": (
        "            and frame.epoch == self._epoch\n",
        "",
        Scenario(before=(0,), commits=((1,),), restores=1, repeats=1),
    ),
    "a frame is passed on while the store is read": (
        "            and self.state is LIVE\n",
        "",
        Scenario(commits=((0,), (1,)), losses=1),
    ),
    "frames of another epoch are kept": (
        "        if frame.epoch != self._epoch:\n            return\n",
        "",
        Scenario(before=(0, 1), asked=Cursor("e1", 1), commits=((2,), (3,)), restores=1),
    ),
    "a word of another epoch, while the store is read, is forgotten": (
        "            self._again |= frame.epoch != self._epoch",
        "            pass",
        Scenario(before=(0,), asked=Cursor("e1", 0), commits=((1,),), restores=1),
    ),
    "what came of another epoch before the welcome stays": (
        "            self._early, self._heard, self._again = None, 0, True\n",
        "            self._again = True\n",
        Scenario(before=(0,), commits=((1,), (2,)), restores=1),
    ),
    "what came of another epoch before the welcome is forgotten": (
        "            self._early, self._heard, self._again = None, 0, True\n",
        "            self._early, self._heard = None, 0\n",
        Scenario(before=(0,), commits=((1,),), restores=1),
    ),
    "a bare position that comes while the store is read is forgotten": (
        "        self._heard = max(self._heard, frame.version)\n",
        "",
        Scenario(commits=((0,),), large=True),
    ),
    "a bare position is forgotten when a gap closes": (
        (
            "        if self._early is None and self._heard > self._version:\n"
            "            return self._catch_up(reason)\n"
        ),
        "",
        Scenario(commits=((0,), (1,), (2,)), large=True),
    ),
    "a bare position ahead is no news": (
        'not _has_content(frame):\n            return self._catch_up("gap")',
        "not _has_content(frame):\n            return _NOTHING",
        Scenario(commits=((0,),), large=True),
    ),
    "frames before the position stay": (
        "if frame.version <= version]:",
        "if frame.version < 0]:",
        Scenario(commits=((0,), (1,)), losses=1),
    ),
    "a second read begins while one is under way": (
        (
            "        if self.state is LIVE or self.state is GAP:\n"
            '            return self._catch_up("carrier")\n'
        ),
        '        return self._catch_up("carrier")\n',
        Scenario(commits=((0,),), losses=1),
    ),
    "a comparison begins a second read": (
        "        if self.state is not LIVE and self.state is not GAP:\n",
        "        if False:\n",
        Scenario(commits=((0,),), silent_losses=1, comparisons=2),
    ),
    "a comparison does not look at the epoch": (
        "return standing.feed.epoch != self._epoch or standing.feed.version > self._version",
        "return standing.feed.version > self._version",
        Scenario(before=(0,), commits=(), restores=1),
    ),
    "an older second page will do": (
        "return (ReadPage(self._version, page.feed.cursor),)",
        "return (ReadPage(self._version, Cursor(self._epoch, self._version)),)",
        Scenario(before=(0, 1, 2, 3), asked=Cursor("e1", 0), commits=((1,),), old_pages=True),
    ),
    "a page of another epoch is sent": (
        "        reason = why_reset(self.position, Standing(page.feed, page.horizon))\n",
        "        reason = None\n",
        Scenario(before=(0, 1), asked=Cursor("e1", 0), commits=(), restores=1),
    ),
    "the horizon of a page does not matter": (
        "Standing(page.feed, page.horizon)",
        "Standing(page.feed)",
        Scenario(before=(0, 1), asked=Cursor("e1", 1), commits=(), prunes=1),
    ),
    "a position below the horizon is replayed": (
        "    if position.version < standing.horizon:",
        "    if position.version + 1 < standing.horizon:",
        Scenario(before=(0, 1, -1), horizon=3, asked=Cursor("e1", 2), commits=()),
    ),
    "a position is where the feed was when the last page was read": (
        "page.notifications[-1].version if page.more else page.feed.version",
        "page.feed.version",
        Scenario(before=(0, 1, 2), asked=Cursor("e1", 0), commits=()),
    ),
    "a replay ends with the first page": (
        "        if page.more:\n",
        "        if page.more and False:\n",
        Scenario(before=(0, 1, 2), asked=Cursor("e1", 0), commits=()),
    ),
    "a reset leaves the epoch": (
        "        self._epoch, self._version = feed.epoch, feed.version\n",
        "        self._version = feed.version\n",
        Scenario(before=(0,), commits=((1,),), restores=1, comparisons=1),
    ),
    "a read that failed was the last": (
        "else (_READ_AGAIN,)",
        "else _NOTHING",
        Scenario(commits=((0,),), losses=1, failures=1),
    ),
    "too many frames are forgotten for good": (
        "        if self._early is None and self._heard > self._version:",
        "        if self._again and self._heard > self._version:",
        Scenario(commits=((0,), (1,), (2,)), early_frames=1),
    ),
    "a closed stream opens": (
        (
            "        if self.state is not CATCHING_UP:\n            return _NOTHING\n"
            "        reason = why_reset(self.position, standing)"
        ),
        "        reason = why_reset(self.position, standing)",
        Scenario(commits=((0,),)),
    ),
    "a closed stream takes frames": (
        "        if self.state is CLOSED:\n            return _NOTHING\n",
        "",
        Scenario(commits=((0,),)),
    ),
}


@pytest.mark.parametrize("fault", RIGHT)
def test_the_stream_is_whole_in_every_schedule_with(fault: str) -> None:
    explored = explore(RIGHT[fault])

    print(f"{explored.worlds:,} worlds, {explored.quiet} of them quiet")
    assert explored.violation is None, f"{explored.violation}, after:\n" + "\n".join(explored.schedule)
    assert explored.worlds > 100
    assert explored.quiet > 0


@pytest.mark.parametrize("mistake", PLANTED)
def test_the_stream_goes_wrong_in_some_schedule_if(mistake: str) -> None:
    old, new, scenario = PLANTED[mistake]

    assert _violation(scenario) is None
    assert explore(scenario, planted(old, new)).violation is not None


@cache
def _violation(scenario: Scenario) -> str | None:
    return explore(scenario).violation


def test_a_violation_comes_with_a_shortest_schedule() -> None:
    old, new, scenario = PLANTED["what was lost while the store was read is forgotten"]

    explored = explore(scenario, planted(old, new))

    assert explored.violation is not None
    assert explored.violation.startswith("Wrong('all is quiet, and the client is at e1.0 of e1.1')")
    assert [step.partition(":")[0].partition(" Standing")[0] for step in explored.schedule] == [
        "the store answers",
        "the feed changes",
        "a frame is lost",
        "the stream is told of losses",
        "standing_read",
    ]


# --- step by step ---------------------------------------------------------------------------------------


class Seconds:
    """A clock that stands still until it is moved."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


def feed(version: int, epoch: str = "e1") -> Feed:
    return Feed(ADA, epoch, version, 0)


def frame(version: int, *ids: str, epoch: str = "e1") -> Frame:
    return Frame(ADA, epoch, version - 1, version, "{}", ids)


def bare(version: int, epoch: str = "e1") -> Frame:
    return Frame(ADA, epoch, version, version, "")


def live(version: int = 0, *, auto: bool = False, now: Seconds | None = None) -> Following:
    """A stream that has been welcomed."""
    one = Following(None, auto=auto, now=now or Seconds())
    assert one.standing_read(Standing(feed(version))) == [
        Welcome(feed(version), Cursor("e1", version), resumed=False)
    ]
    assert one.state is State.LIVE
    return one


def taken(one: Following, *frames: Frame) -> Sequence[Action]:
    """What is done about these frames, one after another."""
    actions = [(frame, action) for frame in frames for action in one.take(frame)]
    return [frame if isinstance(action, PassOn) else action for frame, action in actions]


def test_frames_in_another_order_are_put_in_order() -> None:
    one = live()
    one_, two, three, four = map(frame, (1, 2, 3, 4))

    assert taken(one, three, two, four) == [StartGapTimer()]
    assert one.state is State.GAP
    assert taken(one, one_) == [one_, two, three, four, StopGapTimer()]
    assert (one.state, one.position) == (State.LIVE, Cursor("e1", 4))


def test_what_came_twice_is_passed_on_once() -> None:
    one = live()
    one_, two, three = map(frame, (1, 2, 3))

    assert taken(one, two, two, one_, one_, two, three) == [
        StartGapTimer(), one_, two, StopGapTimer(), Drop(), Drop(), three,
    ]  # fmt: skip


def test_a_gap_that_stays_is_read_from_the_store() -> None:
    one = live()
    taken(one, frame(3))

    assert one.gap_stayed() == (StopGapTimer(), ReadStanding())
    assert one.standing_read(Standing(feed(3))) == (ReadPage(0, Cursor("e1", 3)),)
    page = FeedHistory(feed(3), (), more=False)
    one.page_read(page)
    assert one.page_sent(page) == [Replayed(feed(3), "gap", None)]
    assert one.gap_stayed() == ()


def test_so_many_frames_are_kept_and_no_more() -> None:
    one = live()
    early = [frame(version) for version in range(2, EARLY_FRAMES + 2)]
    taken(one, *early)

    assert taken(one, frame(1)) == [frame(1), *early, StopGapTimer()]


def test_what_is_too_much_to_keep_is_read_from_the_store() -> None:
    one = live()
    taken(one, *map(frame, range(3, EARLY_FRAMES + 3)))

    assert taken(one, frame(2), frame(1)) == [frame(1), frame(2), StopGapTimer(), ReadStanding()]


def test_where_delivery_is_viewing_what_is_new_is_viewed_after_it_was_sent() -> None:
    one = live(auto=True)

    assert taken(one, frame(1, "a", "b")) == [frame(1, "a", "b"), View(("a", "b"))]
    assert taken(one, frame(2)) == [frame(2)]
    assert taken(one, frame(4, "d"), frame(3, "c")) == [
        StartGapTimer(), frame(3, "c"), View(("c",)), frame(4, "d"), View(("d",)), StopGapTimer(),
    ]  # fmt: skip
    assert taken(live(), frame(1, "a")) == [frame(1, "a")]


def test_a_bare_position_is_nothing_to_one_who_stands_there() -> None:
    one = live(3)

    assert taken(one, bare(3), bare(2)) == []
    assert taken(one, bare(4)) == [ReadStanding()]


@pytest.mark.parametrize(
    ("position", "standing", "reason"),
    [
        (Cursor("e1", 3), Standing(feed(3, "e2")), "epoch"),
        (Cursor("e1", 4), Standing(feed(3)), "future"),
        (Cursor("e1", 1), Standing(feed(3), 2), "retention"),
        (Cursor("e1", 2), Standing(feed(3), 2), None),
        (Cursor("e1", 3), Standing(feed(3), 3), None),
    ],
)
def test_some_positions_lead_nowhere(position: Cursor, standing: Standing, reason: Any) -> None:
    one = Following(position, auto=False, now=Seconds())

    welcome, *rest = one.standing_read(standing)

    assert following.why_reset(position, standing) == reason
    start = position if reason is None else standing.feed.cursor
    assert welcome == Welcome(standing.feed, start, resumed=reason is None)
    assert (Reset(standing.feed, reason) in rest) is (reason is not None)


def test_a_store_that_stays_away_costs_the_position() -> None:
    now = Seconds()
    one = live(now=now)
    assert one.miss() == (ReadStanding(),)
    now.at += GIVE_UP_SECONDS

    assert one.read_failed("away") == (ReadStanding(pause=True),)
    now.at += 0.1
    assert one.read_failed("away") == (GiveUp("carrier", "away"),)


def test_each_catch_up_has_its_own_patience() -> None:
    now = Seconds()
    one = live(now=now)
    one.miss()
    one.standing_read(Standing(feed(0)))
    now.at += GIVE_UP_SECONDS + 1
    one.miss()

    assert one.read_failed("away") == (ReadStanding(pause=True),)


def test_a_catch_up_says_since_when_the_client_missed_something() -> None:
    one = live()
    one.miss()
    one.standing_read(Standing(feed(3)))
    old, new = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    first = FeedHistory(feed(3), (_item(2, old),), more=True)
    second = FeedHistory(feed(3), (_item(3, new),), more=False)
    one.page_read(first)
    assert one.page_sent(first) == (ReadPage(2, Cursor("e1", 3)),)
    one.page_read(second)

    assert one.page_sent(second) == [Replayed(feed(3), "carrier", old)]


def _item(version: int, created_at: datetime) -> Any:
    return SimpleNamespace(version=version, created_at=created_at)
