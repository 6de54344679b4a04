"""The items of steps that run once for each of them; their children are rows like other steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("step", sa.Column("items", Document(), nullable=True))


def downgrade() -> None:
    op.drop_column("step", "items")
