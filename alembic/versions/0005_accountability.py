"""Who did what: limits of keys, the key behind a notification, the audit trail, revoked tokens, erasures. And
partitions that a role without the right to create tables can have made.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op

revision = "0005"
down_revision = "0004"

# Runs with the rights of the role that migrates. Its search path is fixed, or a caller could have it find
# other tables. Rows with ids from a clock that was ahead are in the DEFAULT partition, and would prevent the
# new one: the lock ensures that nobody looks for them while they move. Rows are updated in place a few times,
# and autovacuum should not wait for a fifth of a month.
CREATE_PARTITION = """
CREATE FUNCTION bellwire_create_partition(year integer, month integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $body$
DECLARE
    start timestamptz := make_timestamptz(year, month, 1, 0, 0, 0, 'UTC');
    part text := 'notifications_' || to_char(start AT TIME ZONE 'UTC', 'YYYY_MM');
    first uuid := bellwire_lowest_id(start);
    past uuid := bellwire_lowest_id((start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE notifications)', part);
    LOCK TABLE notifications_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('INSERT INTO %I SELECT * FROM notifications_default WHERE id >= $1 AND id < $2', part)
        USING first, past;
    DELETE FROM notifications_default WHERE id >= first AND id < past;
    EXECUTE format(
        'ALTER TABLE notifications ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, first, past
    );
    EXECUTE format('CREATE UNIQUE INDEX %I ON %I (user_id, version)', part || '_version_key', part);
    EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 90)', part);
END
$body$
"""
# The lowest UUIDv7 of a time: its milliseconds, and nothing.
LOWEST_ID = """
CREATE FUNCTION bellwire_lowest_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $body$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$body$
"""


def upgrade() -> None:
    for name in ("user_prefix", "event_prefix", "replaced_by"):
        op.add_column("api_keys", sa.Column(name, sa.Text()))
    op.add_column("api_keys", sa.Column("changed_at", sa.TIMESTAMP(timezone=True)))
    op.create_index("api_keys_changed_at_idx", "api_keys", ["changed_at"])
    op.add_column("notifications", sa.Column("key_id", sa.Text()))
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text()),
        sa.Column("detail", JSONB(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="audit_pk"),
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name="revoked_tokens_pk"),
    )
    op.create_index("revoked_tokens_revoked_at_idx", "revoked_tokens", ["revoked_at"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_hash", sa.LargeBinary()),
        sa.Column("user_id", sa.Text()),
        sa.Column("requested_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("deleted", JSONB(), nullable=False),
        sa.Column("finished_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("kafka_until", sa.TIMESTAMP(timezone=True)),
        sa.Column("reusable", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="erasures_pk"),
        sa.UniqueConstraint("user_hash", name="erasures_user_hash_key"),
    )
    op.create_index(
        "erasures_unfinished_idx",
        "erasures",
        ["requested_at"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.execute(LOWEST_ID)
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(CREATE_PARTITION.format(schema=schema))
    op.execute("REVOKE ALL ON FUNCTION bellwire_create_partition FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION bellwire_create_partition")
    op.execute("DROP FUNCTION bellwire_lowest_id")
    op.drop_table("erasures")
    op.drop_table("revoked_tokens")
    op.drop_table("audit")
    op.drop_column("notifications", "key_id")
    op.drop_index("api_keys_changed_at_idx", "api_keys")
    for name in ("changed_at", "replaced_by", "event_prefix", "user_prefix"):
        op.drop_column("api_keys", name)
