"""Pages whose codes need not be verified again."""

from adapters.redis.verified import VerifiedPages
from application.pages import Rendered, RenderedPage
from tests.build import ADA, BOB, a_feed

FOUND = b"e1\x001\x001\x00[]\x00code\x000\x00an item"
PAGE = RenderedPage(a_feed(), [Rendered(b"{}")], more=False)


def test_only_the_same_bytes_of_the_same_user_are_verified() -> None:
    pages = VerifiedPages()
    pages.keep(ADA, FOUND, PAGE)

    assert pages.get(ADA, bytes(bytearray(FOUND))) is PAGE
    assert pages.get(BOB, FOUND) is None
    assert pages.get(ADA, FOUND.replace(b"e1", b"e2")) is None


def test_the_last_page_of_a_user_counts() -> None:
    pages = VerifiedPages()
    pages.keep(ADA, FOUND, PAGE)
    pages.keep(ADA, FOUND + b"!", PAGE)

    assert pages.get(ADA, FOUND) is None
    assert pages.get(ADA, FOUND + b"!") is PAGE
    assert len(pages) == 1


def test_there_are_only_so_many_and_the_oldest_goes() -> None:
    pages = VerifiedPages(most=2)
    for user in ("a", "b", "a", "c"):
        pages.keep(user, FOUND, PAGE)  # type: ignore[arg-type]

    assert [pages.get(user, FOUND) for user in ("a", "b", "c")] == [PAGE, None, PAGE]  # type: ignore[arg-type]


def test_large_pages_and_bare_heads_are_not_kept() -> None:
    pages = VerifiedPages()
    pages.keep(ADA, FOUND * 1_000, PAGE)
    pages.keep(BOB, FOUND, RenderedPage(a_feed(), [], more=False))

    assert len(pages) == 0
