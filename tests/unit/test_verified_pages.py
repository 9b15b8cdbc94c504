"""Pages whose codes need not be verified again."""

from adapters.redis.verified import Verified, VerifiedPages
from application.pages import Rendered, RenderedPage
from domain.identifiers import UserId
from tests.build import ADA, BOB, a_feed

PART = 20, "+"
PAGE = Verified(PART, b"the head", RenderedPage(a_feed(), [Rendered(b"{}")], more=False))


def test_only_the_same_part_for_the_same_user_is_verified() -> None:
    pages = VerifiedPages()
    pages.keep(ADA, PAGE)

    assert pages.get(ADA, (20, "+")) is PAGE
    assert pages.get(BOB, PART) is None
    assert pages.get(ADA, (21, "+")) is None
    assert pages.get(ADA, (20, '({"id":"1"')) is None


def test_the_last_page_of_a_user_counts() -> None:
    pages = VerifiedPages()
    second = PAGE._replace(part=(10, "+"))
    pages.keep(ADA, PAGE)
    pages.keep(ADA, second)

    assert pages.get(ADA, PART) is None
    assert pages.get(ADA, second.part) is second
    assert len(pages) == 1


def test_there_are_only_so_many_and_the_oldest_goes() -> None:
    pages = VerifiedPages(most=2)
    users = [UserId(name) for name in ("a", "b", "c")]
    for user in (*users[:2], users[0], users[2]):
        pages.keep(user, PAGE)

    assert [pages.get(user, PART) for user in users] == [PAGE, None, PAGE]


def test_large_pages_and_bare_heads_are_not_kept() -> None:
    pages = VerifiedPages()
    pages.keep(ADA, PAGE._replace(page=RenderedPage(a_feed(), [Rendered(b"x" * 20_000)], more=False)))
    pages.keep(BOB, PAGE._replace(page=RenderedPage(a_feed(), [], more=False)))

    assert len(pages) == 0
