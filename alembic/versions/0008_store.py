"""The function that stores a batch is given how each feed grows, instead of finding out.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"

# Stores drafts that are plain. A feed for which one of its drafts may not be, or of which one has arrived
# before, is left as it is and told as not stored: domain.arrivals judges its drafts.
#
# It runs with the rights of its caller. Each statement of a VOLATILE function in PL/pgSQL takes a snapshot of
# its own (https://www.postgresql.org/docs/current/xfunc-volatility.html). Those after the first one need
# that: only a snapshot taken after the locks are held sees what their previous holder stored.
#
# An array in which all is NULL may be empty. `places` says which of its user's drafts one is, from 1. For
# each user in `growing`: how many drafts there are, and their category, or if there are several, a JSON
# object of how many there are in each.
STORE = """
CREATE FUNCTION bellwire_store(
    users text[], ids uuid[], events text[], categories text[], titles text[], messages text[],
    metadata text[], action_urls text[], created_ats timestamptz[], expires_ats timestamptz[],
    key_ids text[], richs text[], groups text[], places bigint[],
    growing text[], sizes bigint[], only_categories text[], sizes_in text[]
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
        SELECT * FROM feeds WHERE feeds.user_id = ANY(growing) ORDER BY feeds.user_id FOR NO KEY UPDATE
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
        SELECT draft.user_id, draft.id, feed.version + draft.place, draft.event, draft.category, draft.title,
            draft.message, draft.metadata, draft.action_url, draft.created_at, draft.expires_at, draft.key_id,
            draft.rich, draft.grouped
        FROM unnest(
            users, ids, events, categories, titles, messages, metadata, action_urls, created_ats, expires_ats,
            key_ids, richs, groups, places
        ) AS draft
            (user_id, id, event, category, title, message, metadata, action_url, created_at, expires_at,
            key_id, rich, grouped, place)
        JOIN unnest(locked, versions) AS feed (user_id, version) ON feed.user_id = draft.user_id
        WHERE draft.user_id <> ALL (left_out);
    EXCEPTION WHEN unique_violation THEN
        -- Records that were read again. They are rare, so that nothing is looked up before.
        left_out := locked;
    END;

    UPDATE feeds SET version = feeds.version + growth.size, unread_count = feeds.unread_count + growth.size,
        unseen_count = feeds.unseen_count + growth.size,
        unread_in = feeds.unread_in || CASE WHEN growth.sizes_in IS NULL
            THEN jsonb_build_object(
                growth.category, coalesce((feeds.unread_in ->> growth.category)::bigint, 0) + growth.size
            )
            ELSE (
                SELECT jsonb_object_agg(
                    key, coalesce((feeds.unread_in ->> key)::bigint, 0) + value::bigint
                ) FROM jsonb_each_text(growth.sizes_in::jsonb)
            ) END
    FROM unnest(growing, sizes, only_categories, sizes_in) AS growth (user_id, size, category, sizes_in)
    JOIN unnest(locked) AS held (user_id) ON held.user_id = growth.user_id
    WHERE feeds.user_id = growth.user_id AND growth.user_id <> ALL (left_out);

    RETURN QUERY
    SELECT feed.user_id, feed.epoch, feed.version, feed.unread_count, feed.unseen_count, feed.unread_in,
        feed.preferences_version, feed.user_id <> ALL (left_out)
    FROM unnest(locked, epochs, versions, unread_counts, unseen_counts, unread_ins, preferences_versions)
        AS feed (user_id, epoch, version, unread_count, unseen_count, unread_in, preferences_version);
END
$body$
"""


def upgrade() -> None:
    # The one that revision 0007 made for a while.
    op.execute("DROP FUNCTION IF EXISTS bellwire_store")
    op.execute(STORE)


def downgrade() -> None:
    op.execute("DROP FUNCTION bellwire_store")
