"""Pages of the unread index whose codes were verified a moment ago."""

from typing import NamedTuple, TypeAlias

from application.pages import RenderedPage
from domain.identifiers import UserId

# Together they have up to 8 MiB.
_MOST = 512
_BYTES = 16 * 1024

Part: TypeAlias = tuple[int, str]
"""Which part of the feed: the limit, and the highest member."""


class Verified(NamedTuple):
    """A page, and the head of the entry that it was read from."""

    part: Part
    head: bytes
    page: RenderedPage


class VerifiedPages:
    """The last page of each user. While the entry has the same head, Redis need not return the page again,
    and it need not be verified: that costs more than everything else that happens to a page here.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._pages: dict[UserId, Verified] = {}
        self._most = most

    def __len__(self) -> int:
        return len(self._pages)

    def get(self, user: UserId, part: Part) -> Verified | None:
        """The last page of a user, if it was of this part."""
        held = self._pages.get(user)
        return held if held is not None and held.part == part else None

    def keep(self, user: UserId, verified: Verified) -> None:
        """Remember a page that verified, unless it is large or has nothing but its head."""
        items = verified.page.items
        if not items or sum(map(len, items)) > _BYTES:
            return
        self._pages.pop(user, None)
        if len(self._pages) >= self._most:
            del self._pages[next(iter(self._pages))]
        self._pages[user] = verified
