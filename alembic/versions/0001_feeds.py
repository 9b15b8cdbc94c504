"""Users, feeds, notifications and API keys.

Partitions of notifications beyond the DEFAULT one are made by the application.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0001"
down_revision = None

TIMESTAMP = sa.TIMESTAMP(timezone=True)
UNREAD = sa.text("read_at IS NULL AND archived_at IS NULL AND retracted_at IS NULL")
EXPIRING = sa.text("expires_at IS NOT NULL AND retracted_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("password_hash", sa.Text()),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("disabled_at", TIMESTAMP),
        sa.PrimaryKeyConstraint("id", name="users_pk"),
        sa.UniqueConstraint("email", name="users_email_key"),
    )
    op.create_table(
        "feeds",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("unread_count", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("user_id", name="feeds_pk"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="feeds_user_id_fk"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "notifications",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("action_url", sa.Text()),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("seen_at", TIMESTAMP),
        sa.Column("read_at", TIMESTAMP),
        sa.Column("archived_at", TIMESTAMP),
        sa.Column("retracted_at", TIMESTAMP),
        sa.Column("expires_at", TIMESTAMP),
        sa.PrimaryKeyConstraint("user_id", "id", name="notifications_pk"),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("notifications_unread_idx", "notifications", ["user_id", "id"], postgresql_where=UNREAD)
    op.create_index("notifications_expiring_idx", "notifications", ["expires_at"], postgresql_where=EXPIRING)
    op.execute("CREATE TABLE notifications_default PARTITION OF notifications DEFAULT")
    op.execute(
        "CREATE UNIQUE INDEX notifications_default_version_key ON notifications_default (user_id, version)"
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP),
        sa.Column("revoked_at", TIMESTAMP),
        sa.Column("last_used_at", TIMESTAMP),
        sa.PrimaryKeyConstraint("id", name="api_keys_pk"),
    )


def downgrade() -> None:
    op.drop_table("api_keys")
    op.drop_table("notifications")
    op.drop_table("feeds")
    op.drop_table("users")
