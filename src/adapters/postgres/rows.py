"""Rows of notifications: how to select and read them. The domain's conditions in SQL."""

from typing import Any

from domain.metadata import Metadata
from domain.notification import Notification
from domain.states import Condition

_FIELDS = tuple(Notification.__dataclass_fields__)


def columns(table: str) -> str:
    """The columns that `read_notification` needs, from a table of this name."""
    # jsonb, which rows of the previous release have, changes numbers and the order of keys.
    metadata = f"coalesce({table}.metadata_text, {table}.metadata::text) AS metadata"
    return ", ".join(metadata if name == "metadata" else f"{table}.{name}" for name in _FIELDS)


def where(condition: Condition, table: str = "n") -> str:
    """A condition on the rows of a table of this name."""
    has = [f"{table}.{time} IS NOT NULL" for time in condition.has]
    return " AND ".join([*has, *(f"{table}.{time} IS NULL" for time in condition.lacks)])


def read_notification(row: Any) -> Notification:
    """Make a notification from a row with these columns, and perhaps others."""
    fields = {name: row[name] for name in _FIELDS}
    return Notification(**{**fields, "metadata": Metadata(fields["metadata"])})
