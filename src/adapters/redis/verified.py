"""Pages of the unread index whose codes were verified a moment ago."""

from application.pages import RenderedPage
from domain.identifiers import UserId

# Together they have up to 16 MiB: what Redis returned, and the same as a page.
_MOST = 512
_BYTES = 16 * 1024


class VerifiedPages:
    """The last page of each user. One that Redis returns again, byte for byte, is not verified again: that
    costs more than everything else that happens to a page here.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._pages: dict[UserId, tuple[bytes, RenderedPage]] = {}
        self._most = most

    def __len__(self) -> int:
        return len(self._pages)

    def get(self, user: UserId, found: bytes) -> RenderedPage | None:
        """The page that Redis returned as these bytes; None if they were not verified."""
        held = self._pages.get(user)
        return held[1] if held is not None and held[0] == found else None

    def keep(self, user: UserId, found: bytes, page: RenderedPage) -> None:
        """Remember a page that verified, unless it is large or has nothing but its head."""
        if not page.items or len(found) > _BYTES:
            return
        self._pages.pop(user, None)
        if len(self._pages) >= self._most:
            del self._pages[next(iter(self._pages))]
        self._pages[user] = found, page
