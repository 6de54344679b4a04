"""How long a cancelled attempt has to end by itself, where somebody said so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("cancel_grace_ms", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempt", "cancel_grace_ms")
