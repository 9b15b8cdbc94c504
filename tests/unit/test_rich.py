"""What a notification may carry beside its text, and how its producer changes it later."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import wire
from domain.errors import Invalid
from domain.group import Group
from domain.notification import Content
from domain.rich import PLAIN, Action, Actor, Rich, rich_of
from tests.build import a_content, a_notification

URLS = ["/", "/i/1.png?a#b", "https://example.com/a", "https://e.com/" + "a" * (2048 - 14)]
NO_URLS = ["", "//evil", "ftp://a", "javascript:alert(1)", "https://a@b", "/a b", "/\x00", "/" + "a" * 2048]


def an_action(**changes: Any) -> Action:
    fields: dict[str, Any] = {"id": "approve", "label": "Approve"}
    return Action(**fields | changes)


def with_action(**changes: Any) -> dict[str, Any]:
    return {"rich": Rich(actions=(an_action(**changes),))}


def with_actor(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": "Ada"}
    return {"actor": Actor(**fields | changes)}


GOOD = [
    *({"rich": Rich(severity=word)} for word in ("info", "success", "warning", "critical")),
    *({"rich": Rich(icon=icon)} for icon in ("a", "chat-2", "i" * 40)),
    *({"rich": Rich(image_url=url)} for url in URLS),
    *(with_action(url=url) for url in [*URLS, "http://example.com"]),
    *(with_action(id=name) for name in ("a", "_-9", "a" * 32)),
    *(with_action(label=label) for label in ("A", "l" * 80, "\u2764\ufe0f")),
    *(with_action(style=style) for style in ("default", "primary", "danger")),
    {"rich": Rich(actions=tuple(an_action(id=name) for name in "abc"))},
    *(with_actor(avatar_url=url) for url in URLS),
    *(with_actor(name=name) for name in ("A", "n" * 200, "<b>Ada</b>")),
    *(with_actor(id=name) for name in (" ", "i" * 200)),
    *({"collapse_key": key} for key in ("k", "\t", "post:7:replies", "k" * 200)),
    *({"collapse": word} for word in ("unread", "always")),
]
BAD: list[tuple[dict[str, Any], str]] = [
    *(({"rich": Rich(severity=word)}, "severity") for word in ("", "INFO", "error")),
    *(({"rich": Rich(icon=icon)}, "icon") for icon in ("", "A", "a b", "i" * 41, "a\n", "a.png")),
    *(({"rich": Rich(image_url=url)}, "image_url") for url in [*NO_URLS, "http://example.com/a"]),
    *((with_action(url=url), "actions[0].url") for url in NO_URLS),
    *((with_action(id=name), "actions[0].id") for name in ("", "A", "a b", "a" * 33, "a\n")),
    *((with_action(label=label), "actions[0].label") for label in ("", " ", "l" * 81, "\u200b", "a\x00")),
    *((with_action(style=style), "actions[0].style") for style in ("", "Primary")),
    ({"rich": Rich(actions=(an_action(), an_action()))}, "actions[1].id"),
    ({"rich": Rich(actions=tuple(an_action(id=name) for name in "abcd"))}, "actions"),
    *((with_actor(avatar_url=url), "actor.avatar_url") for url in [*NO_URLS, "http://example.com/a"]),
    *((with_actor(name=name), "actor.name") for name in ("", " ", "n" * 201, "\ud800", "\u202e")),
    *((with_actor(id=name), "actor.id") for name in ("", "i" * 201, "a\x00")),
    *(({"collapse_key": key}, "collapse_key") for key in ("", "k" * 201, "\x00", "\udfff")),
    *(({"collapse": word}, "collapse") for word in ("", "never")),
]


@pytest.mark.parametrize("fields", GOOD, ids=lambda fields: ascii(fields)[:60])
def test_what_keeps_the_rules_is_taken_as_it_is(fields: dict[str, Any]) -> None:
    content = a_content(**fields)

    assert {name: getattr(content, name) for name in fields} == fields


@pytest.mark.parametrize(("fields", "named"), BAD, ids=lambda value: ascii(value)[:60])
def test_what_breaks_a_rule_is_refused_with_its_path(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(Invalid) as caught:
        a_content(**fields)

    assert [error.field for error in caught.value.errors] == [named]


def test_every_broken_field_is_named() -> None:
    actions = (an_action(), an_action(id="a", label="", style="big"), an_action(id="", url="x"))
    rich = Rich(severity="loud", icon="?", image_url="x", actions=actions)
    with pytest.raises(Invalid) as caught:
        a_content(
            message="", rich=rich, actor=Actor(name="", id="", avatar_url="x"), collapse_key="", collapse="no"
        )

    assert {error.field for error in caught.value.errors} == {
        "message",
        "severity",
        "icon",
        "image_url",
        "actions[1].label",
        "actions[1].style",
        "actions[2].id",
        "actions[2].url",
        "actor.name",
        "actor.id",
        "actor.avatar_url",
        "collapse_key",
        "collapse",
    }


@given(text=st.text(max_size=12))
def test_no_text_crashes_the_rules(text: str) -> None:
    action = Action(id=text, label=text, url=text, style=text)
    rich = Rich(severity=text, icon=text, image_url=text, actions=(action, action))
    with pytest.raises(Invalid):
        a_content(rich=rich, actor=Actor(name=text, id=text, avatar_url=text), collapse_key=text)


def test_a_content_without_them_is_plain() -> None:
    assert rich_of("info", None, None, ()) is PLAIN
    assert Content(user_id=a_content().user_id, event="a", message="m").rich is PLAIN
    assert rich_of("warning", None, None, ()) == Rich(severity="warning")


def test_what_was_not_sent_is_not_in_the_json() -> None:
    action, actor = an_action(), Actor(name="Ada")
    shown = wire.decode(
        wire.render(
            a_notification(
                rich=Rich(severity="warning", actions=(action, an_action(id="b", url="/b", style="danger"))),
                group=Group(count=2, actors=(actor, Actor(name="Bob", id="b", avatar_url="/b"))),
            )
        ).decode()
    )

    assert shown["severity"] == "warning"
    assert shown["actions"] == [
        {"id": "approve", "label": "Approve"},
        {"id": "b", "label": "Approve", "url": "/b", "style": "danger"},
    ]
    assert shown["actors"] == [{"name": "Ada"}, {"name": "Bob", "id": "b", "avatar_url": "/b"}]
    assert not {"image_url", "icon", "collapse_key", "actors_more"} & shown.keys()


@pytest.mark.parametrize(
    ("counted", "shown"), [(0, (0, False)), (100, (100, False)), (101, (100, True)), (500, (100, True))]
)
def test_more_than_a_hundred_actors_are_more(counted: int, shown: tuple[int, bool]) -> None:
    item = wire.decode(
        wire.render(a_notification(group=Group(count=9, members=tuple(range(counted))))).decode()
    )

    assert (item.get("actor_count", 0), item.get("actors_more", False)) == shown
