"""What a feed went through, rebuilt from the changes that the store said it made."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from application.pages import Rendered, RenderedPage
from domain.feed import Added, Chosen, Edited, Feed, Marked
from domain.identifiers import NotificationId
from domain.notification import Notification

Change = Added | Edited | Marked | Chosen


class History:
    """Every state in which a feed could ever be seen, by version.

    Changes may be told in any order, but each version must be made by exactly one of them, and each must do
    what the domain says.
    """

    def __init__(self, start: Feed, render: Callable[[Notification], Rendered]) -> None:
        self.feed = start
        self.held: dict[NotificationId, Notification] = {}
        self._render = render
        self._unread: dict[int, tuple[Notification, ...]] = {start.version: ()}
        self._feeds = {start.version: start}
        self._waiting: dict[int, Change] = {}

    def tell(self, change: Change) -> None:
        """Take note of a change."""
        if change.feed.version == change.prev:
            return
        other = self._waiting.setdefault(change.prev, change)
        assert other is change, f"two changes follow version {change.prev}: {other} and {change}"
        assert change.prev >= self.feed.version, f"{change} follows a version that is not the last one"
        while (following := self._waiting.pop(self.feed.version, None)) is not None:
            self._follow(following)

    def check_whole(self) -> None:
        """Check that no change is missing."""
        assert not self._waiting, f"nothing makes version {self.feed.version + 1}; later: {self._waiting}"

    def versions(self) -> Sequence[int]:
        """Every version that could ever be seen."""
        return list(self._feeds)

    def page(self, version: int, limit: int, before: NotificationId | None = None) -> RenderedPage:
        """The page that was true at a version, which must be one that was to be seen."""
        assert version in self._unread, f"nobody could ever see version {version}"
        items = [item for item in self._unread[version] if before is None or item.id < before]
        return RenderedPage(
            self._feeds[version], [self._render(item) for item in items[:limit]], more=len(items) > limit
        )

    def check(self, page: RenderedPage, limit: int, before: NotificationId | None = None) -> None:
        """Check that a page that was served is the one of its version."""
        truth = self.page(page.feed.version, limit, before)
        assert page.feed == truth.feed
        assert list(page.items) == truth.items, f"{page} is not {truth}"
        assert limit == 0 or page.more == truth.more

    def _follow(self, change: Change) -> None:
        changed = self._changed(change)
        self.held |= {item.id: item for item in changed}
        unread = sorted((item for item in self.held.values() if item.unread), key=lambda item: item.id)
        assert change.feed.version == change.prev + (len(changed) or 1), change
        assert change.feed == self._counted(change, unread), f"{change} miscounts {unread}"
        self.feed = change.feed
        self._unread[change.feed.version] = tuple(reversed(unread))
        self._feeds[change.feed.version] = change.feed

    def _counted(self, change: Change, unread: Sequence[Notification]) -> Feed:
        """The feed after a change, with these unread."""
        version, chosen = change.feed.version, isinstance(change, Chosen)
        return replace(
            self.feed,
            version=version,
            unread_count=len(unread),
            unseen_count=sum(item.seen_at is None for item in unread),
            unread_in=dict(Counter(item.category for item in unread)),
            preferences_version=version if chosen else self.feed.preferences_version,
        )

    def _changed(self, change: Change) -> Sequence[Notification]:
        """The notifications that it changed."""
        match change:
            case Added():
                return self._added(change)
            case Edited():
                return self._edited(change)
            case Marked():
                return self._marked(change)
            case Chosen():
                return ()

    def _added(self, change: Added) -> Sequence[Notification]:
        for nth, item in enumerate(change.notifications, 1):
            assert item.version == change.prev + nth
            assert item.id not in self.held, f"{item.id} is added a second time"
            assert item.unread
        return change.notifications

    def _edited(self, change: Edited) -> Sequence[Notification]:
        for nth, item in enumerate(change.notifications, 1):
            assert item.version == change.prev + nth
            assert self.held[item.id].retracted_at is None is item.retracted_at
        return change.notifications

    def _marked(self, change: Marked) -> Sequence[Notification]:
        """Mark them as the domain does. The store gives out the versions in the order of the ids."""
        up_to, category = change.up_to, change.category
        if up_to is not None:
            chosen = sorted(
                item.id
                for item in self.held.values()
                if item.version <= up_to and category in {None, item.category}
            )
        else:
            chosen = list(change.ids)
        marked: list[Notification] = []
        for item in (self.held[item_id] for item_id in chosen):
            after = item.marked(change.mark, change.at, change.prev + len(marked) + 1, change.action)
            if after is not item:
                marked.append(after)
        if change.notifications is not None:
            assert tuple(marked) == change.notifications, f"{change} should have made {marked}"
        return marked
