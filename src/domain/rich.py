"""What a notification may carry beside its text. It is text only: nothing of it is HTML or Markdown.

These objects do not check themselves, because the store makes them too: `Content` checks what a producer
sends.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.errors import FieldError
from domain.text import (
    broken_image_rules,
    broken_link_rules,
    broken_storable_rules,
    broken_text_rules,
)

SEVERITIES = ("info", "success", "warning", "critical")
STYLES = ("default", "primary", "danger")
COLLAPSES = ("unread", "always")
ICON = re.compile(r"[a-z0-9-]{1,40}")
ACTION_ID = re.compile(r"[a-z0-9_-]{1,32}")
ACTIONS = 3
"""How many actions a notification may have."""
LABEL_LENGTH = 80
ACTOR_LENGTH = 200
"""Of an actor's name, and of its id."""
COLLAPSE_KEY_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did what a notification is about."""

    name: str
    id: str | None = None
    avatar_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button. One without a URL is answered to the producer."""

    id: str
    label: str
    url: str | None = None
    style: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rich:
    """How a notification is shown."""

    severity: str = "info"
    image_url: str | None = None
    icon: str | None = None
    actions: tuple[Action, ...] = ()


PLAIN = Rich()


def rich_of(severity: str, image_url: str | None, icon: str | None, actions: tuple[Action, ...]) -> Rich:
    """These fields; PLAIN itself if a producer sent none of them."""
    if severity == "info" and image_url is None and icon is None and not actions:
        return PLAIN
    return Rich(severity=severity, image_url=image_url, icon=icon, actions=actions)


def broken_rich_rules(rich: Rich) -> Iterator[FieldError]:
    """The rules that these fields break."""
    yield from broken_choice_rules("severity", rich.severity, SEVERITIES)
    if rich.image_url is not None:
        yield from broken_image_rules("image_url", rich.image_url)
    if rich.icon is not None and ICON.fullmatch(rich.icon) is None:
        yield FieldError("icon", "must be 1 to 40 of a-z 0-9 -")
    if len(rich.actions) > ACTIONS:
        yield FieldError("actions", f"must be at most {ACTIONS}")
    for place, action in enumerate(rich.actions[:ACTIONS]):
        yield from _broken_action_rules(f"actions[{place}]", action)
        if action.id in {other.id for other in rich.actions[:place]}:
            yield FieldError(f"actions[{place}].id", "must differ from those of the other actions")


def _broken_action_rules(path: str, action: Action) -> Iterator[FieldError]:
    if ACTION_ID.fullmatch(action.id) is None:
        yield FieldError(f"{path}.id", "must be 1 to 32 of a-z 0-9 _ -")
    yield from broken_text_rules(f"{path}.label", action.label, 1, LABEL_LENGTH)
    if action.url is not None:
        yield from broken_link_rules(f"{path}.url", action.url)
    yield from broken_choice_rules(f"{path}.style", action.style, STYLES)


def broken_actor_rules(actor: Actor) -> Iterator[FieldError]:
    """The rules that an actor breaks."""
    yield from broken_text_rules("actor.name", actor.name, 1, ACTOR_LENGTH)
    if actor.id is not None:
        yield from broken_storable_rules("actor.id", actor.id, 1, ACTOR_LENGTH)
    if actor.avatar_url is not None:
        yield from broken_image_rules("actor.avatar_url", actor.avatar_url)


def broken_choice_rules(name: str, value: str, choices: Sequence[str]) -> Sequence[FieldError]:
    """The rule that a word breaks if it is none of these."""
    return () if value in choices else [FieldError(name, f"must be one of {', '.join(choices)}")]
