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


# Stores drafts that are plain. A feed for which one of its drafts may not be, or of which one has arrived
# before, is left as it is and told as not stored: domain.arrivals judges its drafts.
#
# It runs with the rights of its caller. Each statement of a VOLATILE function in PL/pgSQL takes a snapshot of
# its own (https://www.postgresql.org/docs/current/xfunc-volatility.html). Those after the first one need
# that: only a snapshot taken after the locks are held sees what their previous holder stored.
STORE = """
CREATE FUNCTION bellwire_store(
    users text[], ids uuid[], events text[], categories text[], titles text[], messages text[],
    metadata text[], action_urls text[], created_ats timestamptz[], expires_ats timestamptz[],
    key_ids text[], richs text[], groups text[]
) RETURNS TABLE (
    feed_user text, feed_epoch text, feed_version bigint, feed_unread_count bigint, feed_unseen_count bigint,
    feed_unread_in jsonb, feed_preferences_version bigint, stored boolean
)
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    locked text[];
    epochs text[];
    versions bigint[];
    unread_counts bigint[];
    unseen_counts bigint[];
    unread_ins jsonb[];
    preferences_versions bigint[];
    muting text[]; -- users who muted categories
    odd text[]; -- categories that not everybody wants, or that expire by themselves
    left_out text[]; -- users whose drafts need a look
BEGIN
    -- Everyone locks in the same order, so that two batches never wait for each other.
    SELECT array_agg(f.user_id), array_agg(f.epoch), array_agg(f.version), array_agg(f.unread_count),
        array_agg(f.unseen_count), array_agg(f.unread_in), array_agg(f.preferences_version),
        array_agg(f.user_id) FILTER (WHERE f.muted <> '{}'),
        coalesce(array_agg(f.user_id) FILTER (WHERE f.withheld_at > now() - interval '31 days'), '{}')
    INTO locked, epochs, versions, unread_counts, unseen_counts, unread_ins, preferences_versions, muting,
        left_out
    FROM (
        SELECT * FROM feeds WHERE feeds.user_id = ANY(users) ORDER BY feeds.user_id FOR NO KEY UPDATE
    ) AS f;

    SELECT array_agg(c.id) INTO odd FROM categories AS c
    WHERE (NOT c.default_on AND NOT c.mandatory) OR c.expires_after IS NOT NULL;
    IF odd IS NOT NULL THEN
        left_out := left_out || ARRAY(
            SELECT draft.user_id FROM unnest(users, categories) AS draft (user_id, category)
            WHERE draft.category = ANY (odd)
        );
    END IF;
    IF muting IS NOT NULL THEN
        left_out := left_out || ARRAY(
            SELECT draft.user_id FROM unnest(users, categories) AS draft (user_id, category)
            JOIN feeds AS f ON f.user_id = draft.user_id
            WHERE draft.user_id = ANY (muting) AND draft.category = ANY (f.muted)
        );
    END IF;

    BEGIN
        INSERT INTO notifications
            (user_id, id, version, event, category, title, message, metadata, action_url, created_at,
            expires_at, key_id, rich, grouped)
        SELECT draft.user_id, draft.id,
            feed.version + row_number() OVER (PARTITION BY draft.user_id ORDER BY draft.place),
            draft.event, draft.category, draft.title, draft.message, draft.metadata, draft.action_url,
            draft.created_at, draft.expires_at, draft.key_id, draft.rich, draft.grouped
        FROM unnest(
            users, ids, events, categories, titles, messages, metadata, action_urls, created_ats, expires_ats,
            key_ids, richs, groups
        ) WITH ORDINALITY AS draft
            (user_id, id, event, category, title, message, metadata, action_url, created_at, expires_at,
            key_id, rich, grouped, place)
        JOIN unnest(locked, versions) AS feed (user_id, version) ON feed.user_id = draft.user_id
        WHERE draft.user_id <> ALL (left_out);
    EXCEPTION WHEN unique_violation THEN
        -- Records that were read again. They are rare, so that nothing is looked up before.
        left_out := locked;
    END;

    UPDATE feeds SET version = feeds.version + growth.size, unread_count = feeds.unread_count + growth.size,
        unseen_count = feeds.unseen_count + growth.size, unread_in = feeds.unread_in || growth.unread_in
    FROM (
        SELECT counted.user_id, sum(counted.size) AS size, jsonb_object_agg(
            counted.category, coalesce((feed.unread_in ->> counted.category)::bigint, 0) + counted.size
        ) AS unread_in
        FROM (
            SELECT draft.user_id, draft.category, count(*) AS size
            FROM unnest(users, categories) AS draft (user_id, category)
            WHERE draft.user_id <> ALL (left_out) GROUP BY draft.user_id, draft.category
        ) AS counted
        JOIN unnest(locked, unread_ins) AS feed (user_id, unread_in) ON feed.user_id = counted.user_id
        GROUP BY counted.user_id
    ) AS growth
    WHERE feeds.user_id = growth.user_id;

    RETURN QUERY
    SELECT feed.user_id, feed.epoch, feed.version, feed.unread_count, feed.unseen_count, feed.unread_in,
        feed.preferences_version, feed.user_id <> ALL (left_out)
    FROM unnest(locked, epochs, versions, unread_counts, unseen_counts, unread_ins, preferences_versions)
        AS feed (user_id, epoch, version, unread_count, unseen_count, unread_in, preferences_version);
END
$body$
"""
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
    op.execute(STORE)


def downgrade() -> None:
    op.drop_index("users_prefix_idx", "users")
    op.execute("DROP FUNCTION bellwire_store")
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
