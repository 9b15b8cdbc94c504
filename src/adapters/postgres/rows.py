"""Rows of feeds and notifications: how to select and read them. The domain's conditions in SQL."""

from typing import Any

import msgspec

from application.pages import Rendered
from common import wire
from domain.feed import Feed
from domain.group import ALONE, Group
from domain.identifiers import UserId
from domain.metadata import Metadata
from domain.notification import Notification
from domain.rich import PLAIN, Rich
from domain.states import Condition

FEED_COLUMNS = ("epoch", "version", "unread_count", "unseen_count", "unread_in", "preferences_version")
# The plain fields first, in the order in which they are sent.
_FIELDS = tuple(dict.fromkeys([*wire.PLAIN_FIELDS, *Notification.__dataclass_fields__]))
_PLAIN = slice(len(FEED_COLUMNS), len(FEED_COLUMNS) + len(wire.PLAIN_FIELDS))

_unread_in = msgspec.json.Decoder(dict[str, int]).decode
_rich = msgspec.json.Decoder(Rich).decode
_group = msgspec.json.Decoder(Group).decode
_encode = msgspec.json.Encoder().encode


def feed_columns(table: str) -> str:
    """The columns that `read_feed` needs, from a table of this name: those of a feed with `feed_` before
    them. JSON as text, which the driver does not decode for each row of a page.
    """
    special = {"unread_in": "unread_in::text"}
    return ", ".join(f"{table}.{special.get(name, name)} AS feed_{name}" for name in FEED_COLUMNS)


def read_feed(user: UserId, row: Any) -> Feed:
    """Make a feed from a row with these columns, and perhaps others."""
    unread_in = row["feed_unread_in"]
    return Feed(
        user,
        row["feed_epoch"],
        row["feed_version"],
        row["feed_unread_count"],
        row["feed_unseen_count"],
        _unread_in(unread_in) if isinstance(unread_in, str) else unread_in,
        row["feed_preferences_version"],
    )


def read_choices(row: Any) -> dict[str, bool]:
    """What a user chose, from a row with the columns `muted` and `wanted` of a feed."""
    return {**dict.fromkeys(row["muted"], False), **dict.fromkeys(row["wanted"], True)}


def columns(table: str) -> str:
    """The columns that `read_notification` needs, from a table of this name."""
    special = {"group": f'{table}.grouped AS "group"'}
    return ", ".join(special.get(name, f"{table}.{name}") for name in _FIELDS)


def where(condition: Condition, table: str = "n") -> str:
    """A condition on the rows of a table of this name."""
    has = [f"{table}.{time} IS NOT NULL" for time in condition.has]
    return " AND ".join([*has, *(f"{table}.{time} IS NULL" for time in condition.lacks)])


def read_notification(row: Any) -> Notification:
    """Make a notification from a row with these columns, and perhaps others."""
    fields = {name: row[name] for name in _FIELDS}
    fields["metadata"] = Metadata(fields["metadata"])
    fields["rich"] = PLAIN if fields["rich"] is None else _rich(fields["rich"])
    fields["group"] = ALONE if fields["group"] is None else _group(fields["group"])
    return Notification(**fields)


def render_row(row: Any) -> Rendered:
    """Render the notification of a row that has `feed_columns` and then `columns`."""
    if row["rich"] is None and row["group"] is None and row["collapse_key"] is None:
        return wire.render_plain(row[_PLAIN])
    return wire.render(read_notification(row))


def json_text(value: object) -> str:
    """A value for a column of JSON."""
    return _encode(value).decode()


def rich_text(rich: Rich) -> str | None:
    """The text of the column `rich`."""
    return None if rich is PLAIN or rich == PLAIN else json_text(rich)


def group_text(group: Group) -> str | None:
    """The text of the column `grouped`."""
    return None if group is ALONE or group == ALONE else json_text(group)
