"""What steps that wait outside are told, and what each has been told or has counted so far."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document
from headway_coordinator.storage.migrations.inbox_kinds import allow, one_of

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BEFORE = ("cancel", "clear", "completion", "mark", "pause", "resume", "retry", "run")
_KINDS = tuple(sorted((*_BEFORE, "approval", "signal", "sub_run")))


def upgrade() -> None:
    op.add_column("step", sa.Column("progress", Document(), nullable=True))
    allow(_KINDS)


def downgrade() -> None:
    op.execute(sa.text(f"DELETE FROM inbox WHERE NOT ({one_of(_BEFORE)})"))
    allow(_BEFORE)
    op.drop_column("step", "progress")
