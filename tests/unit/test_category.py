"""Categories and what they mean for preferences."""

from datetime import timedelta
from typing import Any

import pytest

from domain.category import CATEGORIES, OTHER, Category, category_of, newcomers, wanted
from domain.errors import Invalid


@pytest.mark.parametrize(
    ("mandatory", "default_on", "chosen", "shown"),
    [
        (False, True, None, True),
        (False, False, None, False),
        (False, True, False, False),
        (False, False, True, True),
        (False, True, True, True),
        (False, False, False, False),
        (True, True, False, True),
        (True, False, False, True),
        (True, False, None, True),
    ],
)
def test_what_is_mandatory_is_wanted_else_the_choice_counts_and_else_the_default(
    mandatory: bool, default_on: bool, chosen: bool | None, shown: bool
) -> None:
    category = Category(id="billing", mandatory=mandatory, default_on=default_on)

    assert wanted(category, chosen) is shown


@pytest.mark.parametrize(("chosen", "shown"), [(None, True), (True, True), (False, False)])
def test_a_category_that_nobody_refined_is_wanted_unless_it_was_switched_off(
    chosen: bool | None, shown: bool
) -> None:
    assert wanted(None, chosen) is shown


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "Billing"),
        ("id", "b" * 65),
        ("title", " "),
        ("title", "t" * 101),
        ("title", "a\nb"),
        ("description", ""),
        ("description", "d" * 501),
        ("description", "\x00"),
        ("expires_after", timedelta(0)),
        ("expires_after", timedelta(days=3650, seconds=1)),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        Category(**{"id": "billing", field: value})

    assert [error.field for error in caught.value.errors] == [field]


def test_the_limits_themselves_are_allowed() -> None:
    Category(
        id="b" * 64,
        title="t" * 100,
        description="d" * 500,
        expires_after=timedelta(days=3650),
    )


@pytest.mark.parametrize(
    ("event", "category"),
    [("comment.created", "comment"), ("comment", "comment"), (".hidden", OTHER), ("a" * 70, "a" * 64)],
)
def test_the_category_of_an_event_is_what_comes_before_its_first_dot(event: str, category: str) -> None:
    assert category_of(event) == category


def test_new_names_are_entered_in_their_order_as_long_as_there_is_room() -> None:
    held = [f"c{number}" for number in range(CATEGORIES - 1)]

    assert newcomers(["b", "c1", "a", "b"], []) == ["b", "c1", "a"]
    assert newcomers(["b", "c1"], held) == ["b"]
    assert newcomers(["b", "a"], held) == ["b", OTHER]
    assert newcomers(["b", "a"], [*held, OTHER]) == ["b"]
    assert newcomers(["b"], [*held, "a"]) == [OTHER]
    assert newcomers([OTHER], []) == [OTHER]
