"""Replay: the frames of a page that was read for a catch-up."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from application.feeds import FeedHistory
from application.following import end_of
from application.pages import Rendered
from common import metrics, wire
from domain.feed import Feed

_AGES = ((60, "1m"), (3_600, "1h"), (86_400, "1d"), (30 * 86_400, "30d"))


class _Replayed:
    """Keeps the frames of the last page: when many streams of a user reconnect together, they are sent the
    same page one after another.
    """

    def __init__(self) -> None:
        self._page: FeedHistory | None = None
        self._prev = 0
        self._frames: list[tuple[Feed, str]] = []

    def frames(self, page: FeedHistory, prev: int) -> Sequence[tuple[Feed, str]]:
        """The frames for a client at version `prev`, each with the feed as of that frame. The text is empty
        if only the position is new.
        """
        if self._page is not page or self._prev != prev:
            self._page, self._prev, self._frames = page, prev, list(_frames(page, prev))
        return self._frames


def _frames(page: FeedHistory, prev: int) -> Iterator[tuple[Feed, str]]:
    end = end_of(page)
    items: list[Rendered] = []
    size = 0
    version = prev
    for item in page.notifications:
        body = wire.render(item)
        if items and size + len(body) > wire.FRAME_BYTES:
            upto = replace(page.feed, version=version)
            yield upto, wire.notifications_frame(upto, prev, items, flag="replay")
            prev, items, size = version, [], 0
        items.append(body)
        size += len(body)
        version = item.version
    if items:
        upto = replace(page.feed, version=end)
        yield upto, wire.notifications_frame(upto, prev, items, flag="replay")
    elif prev != end:
        yield replace(page.feed, version=end), ""


replay_frames = _Replayed().frames


def count_catch_up(reason: str, outcome: str, age: float | None) -> None:
    """Count a catch-up, by the age (seconds) of the oldest notification in it."""
    name = "none" if age is None else next((name for most, name in _AGES if age <= most), "older")
    metrics.CATCH_UPS.labels(reason, outcome, name).inc()
