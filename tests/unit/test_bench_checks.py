"""What judges the benchmarks' clients: it has to see what is lost, repeated, reordered or not theirs."""

import pytest

from bench.checking import Judgement, Told, busiest_share
from bench.follower import Follower
from bench.followers import Followers
from bench.publishing import publishing, versions
from bench.user import User

ME, OTHER = b"ada", b"bob"
EPOCH = "0a1b2c3d"


def told(*numbers: int, start: int = 0) -> Told:
    """A client that was told these versions, each in a frame."""
    client = Told(ME, start)
    for number in numbers:
        client.take([(b"id-%d" % number, ME, b"%d" % number)])
    return client


def test_every_version_once_in_order_is_right() -> None:
    judged = told(1, 2, 3).judged(3)

    assert (judged.errors, judged.expected, judged.delivered, judged.percent) == (0, 3, 3, 100.0)


def test_a_hole_is_a_loss() -> None:
    judged = told(1, 3).judged(3)

    assert (judged.lost, judged.errors) == (1, 1)
    assert "1 lost" in judged.note


def test_a_missing_end_is_a_loss() -> None:
    assert told(1, 2).judged(4).lost == 2


def test_nothing_at_all_is_a_loss() -> None:
    assert told().judged(2).percent == 0.0


def test_what_was_before_the_start_is_not_expected() -> None:
    assert told(8, 9, start=7).judged(9) == Judgement(clients=1, expected=2, delivered=2)


def test_a_repetition_is_counted_and_allowed() -> None:
    judged = told(1, 2, 2, 1, 3).judged(3)

    assert (judged.repeated, judged.errors) == (2, 0)


def test_a_late_version_is_out_of_order() -> None:
    judged = told(1, 3, 2).judged(3)

    assert (judged.disordered, judged.lost, judged.errors) == (1, 0, 1)


def test_a_version_out_of_order_within_a_frame_is_seen() -> None:
    client = Told(ME)
    client.take([(b"id-2", ME, b"2"), (b"id-1", ME, b"1")])

    assert client.judged(2).disordered == 1


def test_a_version_beyond_the_end_is_invented() -> None:
    assert told(1, 2).judged(1).invented == 1


def test_a_version_from_before_the_start_is_wrong() -> None:
    assert told(6, 8, start=7).judged(8).errors > 0


def test_another_notification_under_the_same_version_is_a_contradiction() -> None:
    client = told(1)
    client.take([(b"other", ME, b"1")])

    assert client.judged(1).contradicted == 1


def test_one_notification_under_two_versions_is_a_contradiction() -> None:
    client = told(1)
    client.take([(b"id-1", ME, b"2")])

    assert client.judged(2).contradicted == 1


def test_a_notification_of_somebody_else_is_foreign_and_delivers_nothing() -> None:
    client = Told(ME)
    client.take([(b"id-1", OTHER, b"1")])

    judged = client.judged(1)
    assert (judged.foreign, judged.delivered) == (1, 0)


def test_judgements_add_up() -> None:
    both = told(1).judged(2) + told(1, 2, 2).judged(2)

    assert both == Judgement(clients=2, expected=4, delivered=3, lost=1, repeated=1)


@pytest.mark.parametrize(
    ("times", "share"),
    [((), 0.0), ((0.0, 1.0, 2.0, 3.0), 0.25), ((0.6, 1.4, 3.0, 5.0), 0.5), ((7.0, 7.0), 1.0)],
)
def test_the_busiest_second_begins_anywhere(times: tuple[float, ...], share: float) -> None:
    assert busiest_share(times) == share


def test_versions_count_whom_the_requests_went_to() -> None:
    users = [User("ada", ""), User("bob", ""), User("ada", "")]

    assert len(publishing(users, "key")) == 3
    assert versions(users, 5) == {"ada": 3, "bob": 2}


def frame(*numbers: int, replay: bool = False) -> bytes:
    """A frame as the service writes it."""
    item = '{{"id":"01a202bb-ab09-7455-8828-{:012}","user_id":"ada","version":{},"event":"bench.done"}}'
    items = ",".join(item.format(number, number) for number in numbers)
    ends = f'"prev":"{EPOCH}.{numbers[0] - 1}","cursor":"{EPOCH}.{numbers[-1]}","unread_count":1'
    kind = '"type":"notifications",' + '"replay":true,' * replay
    return f'{{{kind}"items":[{items}],{ends}}}'.encode()


def follower(cursor: str = f"{EPOCH}.0") -> Follower:
    return Follower(Followers(1), User("ada", ""), (1,), cursor)


def test_a_follower_reads_items_and_cursor_off_a_frame() -> None:
    one = follower()
    one.got(frame(1, 2))
    one.got(frame(3))

    assert one.cursor == f"{EPOCH}.3"
    assert one.told.judged(3).errors == 0


def test_a_follower_that_is_given_a_hole_says_so() -> None:
    one = follower()
    one.got(frame(1))
    one.got(frame(4, replay=True))

    assert one.told.judged(4).lost == 2


def test_an_old_frame_does_not_take_the_cursor_back() -> None:
    one = follower()
    one.got(frame(1, 2))
    one.got(frame(1))

    assert one.cursor == f"{EPOCH}.2"
    assert one.told.repeated == 1
