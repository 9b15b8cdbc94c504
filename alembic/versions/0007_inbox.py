"""What people expect of a bell: categories, counts, seen, preferences, edits, groups, alarms. And metadata in
one column, as it was sent.

Stop the service before this one: processes of an earlier release keep none of the new counts.

Revision ID: 0007
Revises: 0006
"""

from pathlib import Path
from runpy import run_path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from alembic import op

revision = "0007"
down_revision = "0006"

_TIME = sa.TIMESTAMP(timezone=True)
_NONE = sa.text("'{}'")
_ZERO = sa.text("0")


def feeds() -> tuple[sa.Column, ...]:
    """The new columns of feeds."""
    return (
        sa.Column("unseen_count", sa.BigInteger(), nullable=False, server_default=_ZERO),
        sa.Column("unread_in", JSONB(), nullable=False, server_default=_NONE),
        sa.Column("seen_version", sa.BigInteger(), nullable=False, server_default=_ZERO),
        sa.Column("muted", ARRAY(sa.Text()), nullable=False, server_default=_NONE),
        sa.Column("wanted", ARRAY(sa.Text()), nullable=False, server_default=_NONE),
        sa.Column("preferences_version", sa.BigInteger(), nullable=False, server_default=_ZERO),
        sa.Column("withheld_at", _TIME),
    )


def notifications() -> tuple[sa.Column, ...]:
    """The new columns of notifications."""
    return (
        sa.Column("category", sa.Text()),
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default=_ZERO),
        sa.Column("edited_at", _TIME),
        sa.Column("acted_at", _TIME),
        sa.Column("action", sa.Text()),
        sa.Column("snoozed_until", _TIME),
        sa.Column("woken_at", _TIME),
        sa.Column("collapse_key", sa.Text()),
        sa.Column("rich", sa.Text()),
        sa.Column("grouped", sa.Text()),
    )


# As domain.category.category_of; and what was read or archived counts as seen.
FILL = """
UPDATE notifications SET
    category = coalesce(nullif(left(split_part(event, '.', 1), 64), ''), 'other'),
    seen_at = coalesce(seen_at, read_at, archived_at),
    metadata_text = coalesce(metadata_text, metadata::text)
"""
COUNT = """
UPDATE feeds SET unread_count = counted.unread, unseen_count = counted.unread, unread_in = counted.unread_in
FROM (
    SELECT user_id, sum(size) AS unread, jsonb_object_agg(category, size) AS unread_in
    FROM (
        SELECT user_id, category, count(*) AS size FROM notifications
        WHERE read_at IS NULL AND archived_at IS NULL AND retracted_at IS NULL
        GROUP BY user_id, category
    ) AS by_category GROUP BY user_id
) AS counted
WHERE feeds.user_id = counted.user_id
"""
# The most frequent ones, and for the rest the one that stands for all others.
ENTER = """
INSERT INTO categories (id)
SELECT category FROM notifications GROUP BY category ORDER BY count(*) DESC, category LIMIT 64
"""
FOLD = """
UPDATE notifications SET category = 'other' WHERE category NOT IN (SELECT id FROM categories)
"""
ENTER_OTHER = """
INSERT INTO categories (id) SELECT category FROM notifications WHERE category = 'other' LIMIT 1
ON CONFLICT DO NOTHING
"""


UNREAD = "read_at IS NULL AND archived_at IS NULL AND retracted_at IS NULL"


def _index_unread(condition: str) -> None:
    """Replace the index of unread notifications by one with this condition."""
    op.drop_index("notifications_unread_idx", "notifications")
    op.create_index(
        "notifications_unread_idx", "notifications", ["user_id", "id"], postgresql_where=sa.text(condition)
    )


def upgrade() -> None:
    for column in feeds():
        op.add_column("feeds", column)
    for column in notifications():
        op.add_column("notifications", column)
    op.add_column(
        "api_keys", sa.Column("own_only", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    _index_unread(f"{UNREAD} AND snoozed_until IS NULL")
    op.create_index(
        "notifications_collapse_idx",
        "notifications",
        ["user_id", "collapse_key", "id"],
        postgresql_where=sa.text("collapse_key IS NOT NULL AND retracted_at IS NULL AND archived_at IS NULL"),
    )
    op.create_index("users_prefix_idx", "users", ["id"], postgresql_ops={"id": "text_pattern_ops"})
    op.create_table(
        "categories",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("description", sa.Text()),
        sa.Column("mandatory", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("default_on", sa.Boolean(), nullable=False, server_default=sa.text("true")),
        sa.Column("expires_after", sa.Interval()),
        sa.Column("created_at", _TIME, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id", name="categories_pk"),
    )
    op.create_table(
        "withheld",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("event", sa.Text()),
        sa.Column("category", sa.Text()),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name="withheld_pk"),
    )
    op.create_index("withheld_at_idx", "withheld", ["at"])
    op.create_table(
        "alarms",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("payload", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("user_id", "id", "kind", name="alarms_pk"),
    )
    op.create_index("alarms_due_at_idx", "alarms", ["due_at"])
    for statement in (FILL, ENTER, FOLD, ENTER_OTHER, COUNT):
        op.execute(statement)
    op.execute("DROP FUNCTION bellwire_append")
    op.drop_column("notifications", "metadata")
    op.alter_column("notifications", "metadata_text", new_column_name="metadata", nullable=False)
    op.alter_column("notifications", "category", nullable=False)


def downgrade() -> None:
    op.drop_index("users_prefix_idx", "users")
    op.execute("DROP FUNCTION IF EXISTS bellwire_store")
    op.alter_column("notifications", "metadata", new_column_name="metadata_text", nullable=True)
    op.add_column("notifications", sa.Column("metadata", JSONB()))
    op.execute("UPDATE notifications SET metadata = metadata_text::jsonb")
    op.alter_column("notifications", "metadata", nullable=False)
    op.execute(run_path(str(Path(__file__).with_name("0006_append.py")))["APPEND"])
    for table in ("alarms", "withheld", "categories"):
        op.drop_table(table)
    op.drop_column("api_keys", "own_only")
    op.drop_index("notifications_collapse_idx", "notifications")
    _index_unread(UNREAD)
    for column in notifications():
        op.drop_column("notifications", column.name)
    for column in feeds():
        op.drop_column("feeds", column.name)
