"""Inserts notifications into feeds by SQL: faster than publishing, with consistent feeds."""

from bench.servers import Stack

# A UUIDv7 of now: 48 bits of time, then a counter, so that ids increase with the versions.
_ID = """(
    lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7000'
    || '8' || lpad(to_hex(n), 7, '0') || substr(md5(random()::text), 1, 8)
)::uuid"""


def store(stack: Stack, prefix: str, each: int, *, read: bool = False) -> None:
    """Give every user of a scenario this many more notifications."""
    mine = f"user_id LIKE '{prefix}-%'"
    unread = 0 if read else each
    counted = f"jsonb_build_object('bench', unread_count + {unread})" if unread else "unread_in"
    stack.sql(
        f"""INSERT INTO notifications
            (user_id, id, version, event, message, category, metadata, created_at, read_at)
        SELECT user_id, {_ID}, version + n, 'bench.done', 'Build ' || n || ' has passed.', 'bench', '{{}}',
            now(), {"now()" if read else "NULL"}
        FROM feeds, generate_series(1, {each}) AS n WHERE {mine}""",
        f"UPDATE feeds SET version = version + {each}, unread_count = unread_count + {unread}, "
        f"unseen_count = unseen_count + {unread}, unread_in = {counted} WHERE {mine}",
    )


def have_unread(stack: Stack, prefix: str, newest: int) -> None:
    """Have just so many notifications of each user of a scenario be unread, the newest."""
    stack.sql(
        f"""UPDATE notifications AS n
        SET read_at = CASE WHEN n.version > f.version - {newest} THEN NULL ELSE now() END
        FROM feeds AS f WHERE f.user_id = n.user_id AND f.user_id LIKE '{prefix}-%'
            AND (n.read_at IS NULL) <> (n.version > f.version - {newest})""",
        f"UPDATE feeds SET unread_count = {newest}, unseen_count = {newest}, "
        f"unread_in = jsonb_build_object('bench', {newest}) WHERE user_id LIKE '{prefix}-%'",
        "VACUUM (ANALYZE) notifications",
        "CHECKPOINT",
    )


def unread(stack: Stack, prefix: str) -> list[tuple[str, str]]:
    """The unread notifications of a scenario, as user and id; neighbours belong to different users."""
    query = f"""SELECT user_id, id::text FROM notifications
        WHERE user_id LIKE '{prefix}-%' AND read_at IS NULL ORDER BY version, user_id"""
    return [(row[0], row[1]) for row in stack.sql(query)]
