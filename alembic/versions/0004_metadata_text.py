"""Metadata as the producer wrote it: jsonb changes numbers and the order of keys.

The column `metadata` stays for processes of the previous release, which read and write nothing else. A later
release copies what only it holds and drops it.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("notifications", sa.Column("metadata_text", sa.Text()))


def downgrade() -> None:
    op.drop_column("notifications", "metadata_text")
