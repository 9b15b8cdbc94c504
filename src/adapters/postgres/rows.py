"""Rows of notifications: how to ask for them, and what they are. Conditions of the domain, in SQL."""

from typing import Any

from domain.metadata import Metadata
from domain.notification import Notification
from domain.states import Condition

_FIELDS = tuple(Notification.__dataclass_fields__)


def columns(table: str) -> str:
    """What to select for `read_notification`, from a table of this name."""
    # jsonb, as rows of the release before have it, comes back with other numbers and another order.
    metadata = f"coalesce({table}.metadata_text, {table}.metadata::text) AS metadata"
    return ", ".join(metadata if name == "metadata" else f"{table}.{name}" for name in _FIELDS)


def where(condition: Condition, table: str = "n") -> str:
    """The condition, for the rows of a table of this name."""
    has = [f"{table}.{time} IS NOT NULL" for time in condition.has]
    return " AND ".join([*has, *(f"{table}.{time} IS NULL" for time in condition.lacks)])


def read_notification(row: Any) -> Notification:
    """The notification of a row that has these columns, and perhaps others."""
    fields = {name: row[name] for name in _FIELDS}
    return Notification(**{**fields, "metadata": Metadata(fields["metadata"])})
