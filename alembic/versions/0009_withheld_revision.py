"""Keeps the revision of what is withheld: a higher one may bring back what had expired.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # With a constant default nothing is rewritten, and a consumer of before goes on without naming it.
    op.add_column("withheld", sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("withheld", "revision")
