"""I13: whatever is added and marked, the counts of a feed are true for its notifications at every version.

A state machine of Hypothesis, for any store.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from application.ports import Feeds
from domain.feed import Cursor, Feed, Marked
from domain.identifiers import NotificationId, UserId
from domain.notification import Notification
from domain.states import Mark
from tests.build import LATER, a_draft, an_id

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Open = Callable[[], tuple[Feeds, UserId]]
"""Opens an empty feed."""

CATEGORIES = ("billing", "comment")
NUMBERS = st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True)
MARKS = st.sampled_from(list(Mark))


class MarkedFeed(RuleBasedStateMachine):
    """One feed, and what is known of it."""

    def __init__(self, run: Run, begin: Open) -> None:
        super().__init__()
        self._run = run
        self._feeds, self._user = begin()
        self._feed: Feed = run(self._feeds.feed(self._user))
        self._held: dict[NotificationId, Notification] = {}
        self._added = 0
        self._time = LATER

    @rule(categories=st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=3))
    def add(self, categories: list[str]) -> None:
        drafts = []
        for category in categories:
            self._added += 1
            drafts.append(a_draft(self._added, self._user, category=category))
        (added,) = self._run(self._feeds.append(drafts)).added
        self._held |= {item.id: item for item in added.notifications}
        self._check(added.feed, self._feed.version + len(drafts))

    @rule(mark=MARKS, numbers=NUMBERS)
    def mark(self, mark: Mark, numbers: list[int]) -> None:
        ids = [an_id(number) for number in numbers]
        marked = self._run(self._feeds.mark(self._user, mark, ids, self._now(), action="approve"))
        self._follow(marked, [self._held[one] for one in sorted(ids) if one in self._held])

    @rule(mark=MARKS, back=st.integers(-2, 6), category=st.sampled_from([None, *CATEGORIES]))
    def mark_up_to(self, mark: Mark, back: int, category: str | None) -> None:
        cursor = Cursor(self._feed.epoch, self._feed.version - back)
        at = self._now()
        marked = self._run(self._feeds.mark_up_to(self._user, mark, cursor, at, category=category))
        older = (item for item in self._held.values() if item.version <= cursor.version)
        chosen = [item for item in older if category in {None, item.category}]
        self._follow(marked, sorted(chosen, key=lambda item: item.id))

    @rule()
    def open(self) -> None:
        """Nothing is unseen after an opening, and a second one finds nothing to do."""
        for _ in range(2):
            self.mark_up_to(Mark.SEEN, 0, None)
            assert self._feed.unseen_count == 0

    def _now(self) -> Any:
        self._time += timedelta(seconds=1)
        return self._time

    def _follow(self, marked: Marked, chosen: list[Notification]) -> None:
        changed: list[Notification] = []
        for item in chosen:
            version = self._feed.version + len(changed) + 1
            after = item.marked(marked.mark, marked.at, version, marked.action)
            changed += [after] if after is not item else []
        assert marked.prev == self._feed.version
        assert marked.notifications == tuple(changed)
        self._held |= {item.id: item for item in changed}
        self._check(marked.feed, self._feed.version + len(changed))

    def _check(self, feed: Feed, version: int) -> None:
        unread = [item for item in self._held.values() if _is_unread(item)]
        assert feed.version == version
        assert feed.unread_count == len(unread) == sum(feed.unread_in.values())
        assert feed.unread_in == dict(Counter(item.category for item in unread))
        assert feed.unseen_count == sum(item.seen_at is None for item in unread)
        assert self._run(self._feeds.feed(self._user)) == feed
        self._feed = feed


def _is_unread(item: Notification) -> bool:
    """Said a second time."""
    return not (item.read_at or item.archived_at or item.snoozed_until or item.retracted_at)


def walk(begin: Open, run: Run | None = None, *, examples: int) -> None:
    """Let the machine run against a store."""
    with asyncio.Runner() as runner:
        machine: Any = lambda: MarkedFeed(run or runner.run, begin)  # noqa: E731 - it stands for a class
        run_state_machine_as_test(
            machine,
            settings=settings(max_examples=examples, stateful_step_count=25, deadline=None),
        )
