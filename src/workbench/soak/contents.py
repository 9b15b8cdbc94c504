"""What producers send: categories, collapse keys, actors and actions, drawn for each notification."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from workbench.soak.history import Item

MANDATORY: Final = "security"
"""Nobody can switch this category off."""
UNASKED: Final = "digest"
"""A category that users are shown only if they chose it."""
BRIEF: Final = "brief"
"""A category whose notifications expire soon."""
CHOOSABLE: Final = ("comment", "billing", UNASKED)
"""The categories that users switch on and off."""
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    MANDATORY: {"title": "Security", "mandatory": True},
    UNASKED: {"title": "Digests", "default": "off"},
    BRIEF: {"expires_after": 3},
}
"""What an operator makes of categories before the load."""
ACTIONS: Final = ("approve", "decline")
"""The actions that are answered."""

_CATEGORIES = {"comment": 40, "build": 30, "billing": 14, UNASKED: 8, MANDATORY: 5, BRIEF: 3}
_COLLAPSED = 0.3
_KEYS = 6
_LASTING_KEYS = 2
"""Of so many keys nothing is retracted, so that their counts can be compared."""
_EXPIRES = 0.03
_EXPIRY_SECONDS = (0.5, 5.0)
_RICH = 0.3
_ACTORS = 9


def draw(item: Item, chance: random.Random, now: datetime) -> None:
    """Decide what a notification is about."""
    item.category = chance.choices(list(_CATEGORIES), list(_CATEGORIES.values()))[0]
    if item.category == "comment" and chance.random() < _COLLAPSED:
        item.collapse_key = f"{chance.choice(('unread', 'always'))}:{chance.randrange(_KEYS)}"
    elif chance.random() < _EXPIRES:
        item.expires_at = in_seconds(now, chance.uniform(*_EXPIRY_SECONDS))


def in_seconds(now: datetime, seconds: float) -> str:
    """A time as producers write it."""
    return (now + timedelta(seconds=seconds)).astimezone(UTC).isoformat()


def may_be_retracted(item: Item) -> bool:
    """Whether producers take it back now and then."""
    return item.collapse_key is None or int(item.collapse_key.partition(":")[2]) >= _LASTING_KEYS


def body(item: Item, revision: int = 0) -> dict[str, Any]:
    """The body of a notification or of an edit: the same whenever it is sent again."""
    chance = random.Random(item.number)
    made: dict[str, Any] = {"user_id": item.user, "event": f"{item.category}.happened"}
    made["message"] = f"{item.message}, revision {revision}" if revision else item.message
    if chance.random() < 0.5:
        made |= {"event": "soak.sent", "category": item.category}
    if chance.random() < _RICH:
        made |= _rich(chance)
    if item.expires_at is not None:
        made["expires_at"] = item.expires_at
    if item.collapse_key is not None:
        made |= {"collapse_key": item.collapse_key, "collapse": collapse_of(item.collapse_key)}
        made["actor"] = {"name": f"Actor {chance.randrange(_ACTORS)}"}
    return made


def collapse_of(collapse_key: str) -> str:
    """Whether what has this key joins any earlier one or one that is unread."""
    return collapse_key.partition(":")[0]


def revision_of(message: str) -> tuple[str, int]:
    """The item whose message this is, and its revision."""
    name, _, revision = message.partition(", revision ")
    return name, int(revision or 0)


def _rich(chance: random.Random) -> dict[str, Any]:
    return {
        "severity": chance.choice(("success", "warning", "critical")),
        "icon": "bell",
        "image_url": "/images/soak.png",
        "actions": [
            *({"id": action, "label": action.title()} for action in ACTIONS),
            {"id": "open", "label": "Open", "url": "/soak", "style": "primary"},
        ],
    }
