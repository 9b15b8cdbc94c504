"""Trail: which span a change belongs to, on its way from the store to the streams and back as a mark."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from common.tracing import Attributes, Kind, Span, Tracer, is_sampled, within
from domain.feed import FeedChange
from domain.identifiers import NotificationId, UserId

_MOST = 10_000

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The newest values; the oldest are forgotten first."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._values: dict[K, V] = {}

    def put(self, key: K, value: V) -> None:
        self._values.pop(key, None)
        self._values[key] = value
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]

    def get(self, key: K) -> V | None:
        return self._values.get(key)

    def pop(self, key: K) -> V | None:
        return self._values.pop(key, None)


class Trail:
    """What a process knows of the traces of changes. It holds sampled traceparents only, and is bounded."""

    def __init__(self, most: int = _MOST) -> None:
        self._changes: Recent[tuple[str, int], str] = Recent(most)
        """By user and version, from when a change is stored until it is announced."""
        self._missed: Recent[tuple[str, int], bool] = Recent(most)
        self._pushed: Recent[str, str] = Recent(most)
        """By notification: the newest that were pushed."""
        self._asked: dict[UserId, list[str]] = {}
        """The marks of a user that are asked for, in this order."""

    # --- changes ---

    def stored(self, change: FeedChange, context: str) -> None:
        """The change was made in this span."""
        if is_sampled(context):
            self._changes.put(_key(change), context)

    def of(self, user: str, version: int) -> str | None:
        return self._changes.get((user, version))

    def missed(self, user: str, version: int) -> None:
        self._missed.put((user, version), True)

    def of_all(self, changes: Iterable[FeedChange]) -> list[str]:
        """The different spans of these changes."""
        return distinct(self._changes.get(_key(change)) for change in changes)

    def announced(self, changes: Iterable[FeedChange]) -> bool:
        """Forget these changes. Returns whether all of them were announced."""
        keys = [_key(change) for change in changes]
        for key in keys:
            self._changes.pop(key)
        missed = [self._missed.pop(key) for key in keys]
        return not any(missed)

    # --- what was pushed, and marks of it ---

    def pushed(self, ids: Iterable[str], context: str) -> None:
        """These notifications were pushed in this span."""
        for one in ids:
            self._pushed.put(one, context)

    def of_ids(self, ids: Iterable[NotificationId]) -> list[str]:
        """The different spans in which these were pushed, as far as they are remembered."""
        return distinct(self._pushed.get(str(one)) for one in ids)

    def asked(self, user: UserId, context: str) -> None:
        """A mark by ids was asked for in this span."""
        self._asked.setdefault(user, []).append(context)

    def answered(self, user: UserId, context: str) -> None:
        """That mark is answered."""
        waiting = self._asked[user]
        waiting.remove(context)
        if not waiting:
            del self._asked[user]

    def marking(self, user: UserId) -> str:
        """The span of the user's mark that is under way: the first, because there is one at a time. Empty if
        there is none.
        """
        return self._asked.get(user, [""])[0]


def distinct(contexts: Iterable[str | None]) -> list[str]:
    """The sampled ones among these, each once."""
    return list(dict.fromkeys(one for one in contexts if one is not None and is_sampled(one)))


@contextmanager
def joined(
    tracer: Tracer, name: str, kind: Kind, contexts: list[str], attributes: Attributes
) -> Iterator[Span | None]:
    """Work for these spans: below the only one, or in a trace of its own with links to all of them. If there
    is none, nobody records the work.
    """
    if not contexts:
        yield None
        return
    parent, links = (contexts[0], ()) if len(contexts) == 1 else (None, contexts)
    with within(tracer.begin(name, kind, parent=parent, links=links, attributes=attributes)) as span:
        yield span


def _key(change: FeedChange) -> tuple[str, int]:
    return change.feed.user_id, change.feed.version
