"""What was attempted, with its outcome: in a file to examine later, and in memory for the checks."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Item:
    """A notification that somebody tried to publish. Its message names it: `item <number>`."""

    number: int
    user: str
    key: str | None = None
    """The Idempotency-Key that went with it."""
    begun: float = 0.0
    """Seconds into the run of the first attempt ..."""
    ended: float = 0.0
    """... and of the last answer."""
    accepted: frozenset[str] = frozenset()
    """The ids in answers that accepted it: several only if its key was forgotten."""
    unknown: frozenset[str] = frozenset()
    """The ids in answers with an unknown outcome."""
    uncertain: int = 0
    """How many attempts ended without an outcome."""
    refused: int = 0
    """How many attempts were finally refused."""
    category: str = "soak"
    collapse_key: str | None = None
    expires_at: str | None = None
    revisions: dict[int, bool] = field(default_factory=dict)
    """The edits that were sent, and whether they were accepted."""
    retracted: bool | None = None
    """Whether a retraction was acknowledged; None if nobody tried."""
    arrives_expired: bool = False
    """As its original; an edit may bring it back."""
    reopened: bool = False
    """Whether an edit was sent that makes it unread again."""

    @property
    def ids(self) -> frozenset[str]:
        """Every id under which it may be stored."""
        return self.accepted | self.unknown

    @property
    def message(self) -> str:
        return f"item {self.number}"

    @property
    def may_be_stored(self) -> bool:
        return bool(self.accepted or self.uncertain)


@dataclass(slots=True)
class Marking:
    """A user's attempt to mark notifications, by ids or all up to a version."""

    user: str
    mark: str
    ids: tuple[str, ...]
    up_to: int | None
    begun: float
    acknowledged: bool = False
    category: str | None = None
    """If it is given, a mark up to a version was of this category only."""
    action: str | None = None
    """The action that was chosen with it."""
    until: str | None = None
    """The time until which it snoozes."""
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a user had chosen from one version of the feed to another, as the service answered."""

    user: str
    since: int
    until: int
    choices: Mapping[str, bool | None]


@dataclass(slots=True)
class History:
    """Everything that happened in a run. Times are seconds since it began."""

    file: Path | None = None
    items: dict[str, Item] = field(default_factory=dict)
    """By message."""
    accepted: int = 0
    """How many notifications were accepted."""
    markings: list[Marking] = field(default_factory=list)
    trespasses: list[str] = field(default_factory=list)
    """Requests for another user's things that were not refused."""
    attempted_trespasses: int = 0
    pages: int = 0
    """Pages of notifications that users fetched ..."""
    bad_pages: list[str] = field(default_factory=list)
    """... and those that contradict themselves."""
    bad_counts: list[str] = field(default_factory=list)
    """Counts in pages and answers that differ from what a follower has at that position."""
    switched_off: set[tuple[str, str]] = field(default_factory=set)
    """The users and categories of every attempt to switch one off."""
    chosen: list[Chosen] = field(default_factory=list)
    bad_choices: list[str] = field(default_factory=list)
    """Choices that were not to be accepted."""
    _began: float = field(default_factory=time.monotonic)
    _output: Any = None

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def now(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def at(self, moment: float) -> float:
        """Convert a time of the monotonic clock."""
        return moment - self._began

    @property
    def reopened(self) -> set[str]:
        """The ids of notifications that somebody tried to make unread, to take out of the archive, or to
        snooze: they come back unread.
        """
        marks = {"unread", "unarchived", "snoozed"}
        asked = {id_ for one in self.markings if one.mark in marks for id_ in one.ids}
        return asked.union(*(item.ids for item in self.items.values() if item.reopened))

    def item(self, user: str, key: str | None) -> Item:
        made = Item(len(self.items), user, key, begun=self.now())
        self.items[made.message] = made
        return made

    def note(self, kind: str, **fields: Any) -> None:
        """Append a line to the file."""
        if self.file is None:
            return
        if self._output is None:
            self._output = self.file.open("a", encoding="utf-8", buffering=1 << 16)
        self._output.write(json.dumps({"t": self.now(), "kind": kind, **fields}, default=str) + "\n")

    def close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None

    def answered(self, item: Item, status: int, body: Mapping[str, Any]) -> bool:
        """Note the result of one attempt; `status` 0 is no answer. Return whether the outcome is known."""
        item.ended = self.now()
        identifier = body.get("id")
        self.note("answer", item=item.number, user=item.user, key=item.key, status=status, id=identifier)
        if status == 202 and identifier:
            self.accepted += identifier not in item.accepted
            item.accepted |= {identifier}
        elif 400 <= status < 500:
            item.refused += 1
        else:
            item.uncertain += 1
            if identifier:
                item.unknown |= {identifier}
            return False
        return True
