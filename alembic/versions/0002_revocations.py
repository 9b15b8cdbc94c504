"""When a user's tokens were last revoked.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"

REVOKED = sa.text("tokens_revoked_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("users", sa.Column("tokens_revoked_at", sa.TIMESTAMP(timezone=True)))
    # Users who were disabled by hand before there was a command for it: the API reads only this column.
    op.execute("UPDATE users SET tokens_revoked_at = clock_timestamp() WHERE disabled_at IS NOT NULL")
    op.create_index(
        "users_tokens_revoked_idx", "users", ["tokens_revoked_at", "id"], postgresql_where=REVOKED
    )


def downgrade() -> None:
    op.drop_index("users_tokens_revoked_idx", "users")
    op.drop_column("users", "tokens_revoked_at")
