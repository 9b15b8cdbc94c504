"""The table of states: complete, and the rules that it is made of."""

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest

from domain.errors import Invalid
from domain.notification import Notification
from domain.states import RULES, STATES, UNREAD, VIEWS, VISIBLE, Condition, Mark, Rule, Status, Time, To
from tests.build import LATER, NOW, a_notification
from tests.states import MARKED, changeable, effect_of

MUCH_LATER = LATER + timedelta(days=1)


def test_every_mark_has_a_rule_and_every_view_a_condition() -> None:
    assert RULES.keys() == set(Mark) == MARKED.keys()
    assert VIEWS.keys() == set(Status)


def test_every_time_is_one_of_a_notification() -> None:
    assert set(get_args(Time)) <= {field.name for field in fields(Notification)}
    assert {effect.field for effect in MARKED.values()} == set(STATES) <= set(get_args(Time))


@pytest.mark.parametrize("mark", list(Mark))
def test_a_mark_does_what_it_is_to_do(mark: Mark) -> None:
    effect = effect_of(mark)
    before = changeable(a_notification(version=1), mark)

    after = before.marked(mark, MUCH_LATER, 2)

    assert after == replace(before, **effect.times(before, MUCH_LATER), version=2)
    assert {status for status in Status if after.within(status)} == effect.views
    assert (after.unread, after.unseen) == (effect.unread, effect.unseen)
    assert after.marked(mark, MUCH_LATER, 3) is after


@pytest.mark.parametrize("mark", list(Mark))
def test_nothing_changes_what_was_retracted(mark: Mark) -> None:
    retracted = a_notification(retracted_at=NOW, read_at=NOW, archived_at=NOW)

    assert retracted.marked(mark, LATER, 2) is retracted
    assert a_notification(retracted_at=NOW).marked(mark, LATER, 2).version == a_notification().version


def test_what_is_unread_is_what_its_view_shows() -> None:
    assert VIEWS[Status.UNREAD] == UNREAD
    assert all(set(VISIBLE.lacks) <= set(view.lacks) for view in VIEWS.values())


@dataclass(frozen=True)
class Times:
    read_at: datetime | None = None
    retracted_at: datetime | None = None
    expires_at: datetime | None = None


@pytest.mark.parametrize(
    ("condition", "times", "holds"),
    [
        (Condition(), Times(), True),
        (Condition(has=("read_at",)), Times(), False),
        (Condition(has=("read_at",)), Times(read_at=NOW), True),
        (Condition(lacks=("read_at",)), Times(), True),
        (Condition(lacks=("read_at",)), Times(read_at=NOW), False),
        (Condition(has=("read_at",), lacks=("retracted_at",)), Times(NOW, NOW), False),
        (Condition(has=("read_at",)) & Condition(lacks=("retracted_at",)), Times(NOW), True),
        (Condition(has=("read_at",)) & Condition(has=("expires_at",)), Times(NOW), False),
    ],
)
def test_a_condition_holds_where_all_of_it_does(condition: Condition, times: Any, holds: bool) -> None:
    assert condition.holds(times) is holds


def test_conditions_that_are_joined_name_each_time_once() -> None:
    assert UNREAD & VISIBLE == VISIBLE & UNREAD == UNREAD


# --- a mark that comes with a time, such as one that puts a notification off ---

PUT_OFF = Rule("read_at", To.GIVEN)


@pytest.mark.parametrize(
    ("times", "changes"),
    [
        (Times(), True),
        (Times(read_at=NOW), True),
        (Times(read_at=LATER), False),
        (Times(retracted_at=NOW), False),
    ],
)
def test_the_last_given_time_stays(times: Times, changes: bool) -> None:
    assert PUT_OFF.value(LATER) == LATER
    assert PUT_OFF.changes(times, LATER) is changes


def test_a_mark_has_the_time_that_comes_with_it_or_none() -> None:
    assert PUT_OFF.time(NOW, LATER) == LATER
    assert RULES[Mark.READ].time(NOW) == NOW


@pytest.mark.parametrize(
    ("rule", "given"), [(PUT_OFF, None), (RULES[Mark.READ], LATER), (RULES[Mark.UNREAD], LATER)]
)
def test_a_time_that_is_missing_or_not_asked_for_is_refused(rule: Rule, given: datetime | None) -> None:
    with pytest.raises(Invalid) as caught:
        rule.time(NOW, given)

    assert [error.field for error in caught.value.errors] == ["until"]


def test_what_waits_for_its_time_is_what_has_one_and_can_still_be_marked() -> None:
    waiting = RULES[Mark.RETRACTED].waiting

    assert waiting.holds(Times(expires_at=LATER))
    assert not waiting.holds(Times())
    assert not waiting.holds(Times(expires_at=LATER, retracted_at=NOW))
