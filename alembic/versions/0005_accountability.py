"""Who did what: limits of keys, the key behind a notification, the audit trail, revoked tokens, erasures.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op

revision = "0005"
down_revision = "0004"


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


def downgrade() -> None:
    op.drop_table("erasures")
    op.drop_table("revoked_tokens")
    op.drop_table("audit")
    op.drop_column("notifications", "key_id")
    op.drop_index("api_keys_changed_at_idx", "api_keys")
    for name in ("changed_at", "replaced_by", "event_prefix", "user_prefix"):
        op.drop_column("api_keys", name)
