"""A function that stores a batch, so that this takes one round trip.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"

# Runs with the rights of its caller. A later release that needs another body gives it another name, because
# the previous release still calls this one.
#
# Each statement of a VOLATILE function in PL/pgSQL takes a snapshot of its own
# (https://www.postgresql.org/docs/current/xfunc-volatility.html). Those after the first one need that: only a
# snapshot taken after the locks are held sees what their previous holder stored.
APPEND = """
CREATE FUNCTION bellwire_append(
    users text[], ids uuid[], events text[], titles text[], messages text[], metadata_texts text[],
    action_urls text[], created_ats timestamptz[], expires_ats timestamptz[], key_ids text[]
) RETURNS TABLE (feed_user text, feed_epoch text, feed_version bigint, feed_unread bigint, present_ids uuid[])
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    locked text[];
    epochs text[];
    versions bigint[];
    unread_counts bigint[];
    present bigint[] := '{}'; -- the places of drafts that are stored already
BEGIN
    -- Everyone locks in the same order, so that two batches never wait for each other.
    SELECT array_agg(f.user_id), array_agg(f.epoch), array_agg(f.version), array_agg(f.unread_count)
    INTO locked, epochs, versions, unread_counts
    FROM (
        SELECT * FROM feeds WHERE feeds.user_id = ANY(users) ORDER BY feeds.user_id FOR NO KEY UPDATE
    ) AS f;

    -- The feeds are never read again: one that was made meanwhile is not locked.
    LOOP
        BEGIN
            INSERT INTO notifications
                (user_id, id, version, event, title, message, metadata_text, action_url, created_at,
                expires_at, key_id, metadata)
            SELECT added.user_id, added.id,
                feed.version + row_number() OVER (PARTITION BY added.user_id ORDER BY added.place),
                added.event, added.title, added.message, added.metadata_text, added.action_url,
                added.created_at, added.expires_at, added.key_id, added.metadata_text::jsonb
            FROM unnest(
                users, ids, events, titles, messages, metadata_texts, action_urls, created_ats, expires_ats,
                key_ids
            ) WITH ORDINALITY AS added
                (user_id, id, event, title, message, metadata_text, action_url, created_at, expires_at,
                key_id, place)
            JOIN unnest(locked, versions) AS feed (user_id, version) ON feed.user_id = added.user_id
            WHERE added.place <> ALL (present);
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            -- Records that were read again. They are rare, so that nothing is looked up before.
            IF present <> '{}' THEN
                RAISE;
            END IF;
            present := ARRAY(
                SELECT draft.place FROM unnest(users, ids) WITH ORDINALITY AS draft (user_id, id, place)
                JOIN notifications AS stored ON stored.user_id = draft.user_id AND stored.id = draft.id
            );
            IF present = '{}' THEN
                RAISE;
            END IF;
        END;
    END LOOP;

    UPDATE feeds SET version = feeds.version + growth.size, unread_count = feeds.unread_count + growth.size
    FROM (
        SELECT draft.user_id, count(*) AS size FROM unnest(users) WITH ORDINALITY AS draft (user_id, place)
        JOIN unnest(locked) AS feed (user_id) ON feed.user_id = draft.user_id
        WHERE draft.place <> ALL (present) GROUP BY draft.user_id
    ) AS growth
    WHERE feeds.user_id = growth.user_id;

    RETURN QUERY
    SELECT feed.user_id, feed.epoch, feed.version, feed.unread_count, held.ids
    FROM unnest(locked, epochs, versions, unread_counts) AS feed (user_id, epoch, version, unread_count)
    LEFT JOIN (
        SELECT draft.user_id, array_agg(draft.id) AS ids
        FROM unnest(users, bellwire_append.ids) WITH ORDINALITY AS draft (user_id, id, place)
        WHERE draft.place = ANY (present) GROUP BY draft.user_id
    ) AS held ON held.user_id = feed.user_id;
END
$body$
"""


def upgrade() -> None:
    op.execute(APPEND)


def downgrade() -> None:
    op.execute("DROP FUNCTION bellwire_append")
