"""Pages have a size, whatever is stored."""

from dataclasses import replace

import pytest

from application.feeds import FeedHistory
from application.pages import PAGE_BYTES, Rendered, RenderedPage, rendered
from common import wire
from domain.metadata import Metadata
from entrypoints.live.replay import replay_frames
from tests.build import a_feed, a_notification


def page(*sizes: int) -> RenderedPage:
    return RenderedPage(a_feed(), [Rendered(b"x" * size) for size in sizes], more=False)


@pytest.mark.parametrize(
    ("sizes", "limit", "fit"),
    [
        ((), 10, 0),
        ((1, 1, 1), 10, 3),
        ((1, 1, 1), 2, 2),
        ((1, 1), 0, 0),
        ((PAGE_BYTES - 1, 1), 10, 2),
        ((PAGE_BYTES, 1), 10, 1),
        ((1, PAGE_BYTES), 10, 1),
        ((PAGE_BYTES * 3, 1), 10, 1),
    ],
)
def test_a_page_ends_before_it_is_too_large_and_has_at_least_one(
    sizes: tuple[int, ...], limit: int, fit: int
) -> None:
    first = page(*sizes).first(limit)

    assert len(first.items) == fit
    assert first.more == (fit < len(sizes))


def test_no_more_is_rendered_than_a_page_and_one() -> None:
    items = tuple(replace(a_notification(n), message="x" * PAGE_BYTES) for n in range(5))

    found = rendered(a_feed(), items, wire.render, more=False)

    assert (len(found.items), found.more) == (1, True)


def test_metadata_that_no_client_could_receive_is_left_out() -> None:
    text = '{"a":"%s"}' % ("x" * 2_000_000)

    body = wire.render(replace(a_notification(), metadata=Metadata(text)))

    assert b'"metadata":{}' in bytes(body)
    assert len(body) < 1_000


def test_a_replayed_frame_has_at_most_its_size_or_one_notification() -> None:
    text = Metadata('{"a":"%s"}' % ("x" * (wire.FRAME_BYTES - 100_000)))
    items = [replace(a_notification(n, version=n), metadata=text) for n in (1, 2)]
    items += [a_notification(n, version=n) for n in (3, 4)]

    frames = replay_frames(FeedHistory(a_feed(4), tuple(items), more=False), 0)

    assert [feed.version for feed, _ in frames] == [1, 4]
    assert all(len(body) < wire.FRAME_BYTES + 1_000 for _, body in frames)
