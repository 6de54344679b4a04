"""What people ask of runs that went wrong: more kinds of requests, and what is held back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document, Moment
from headway_coordinator.storage.migrations.inbox_kinds import allow, one_of

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BEFORE = ("cancel", "completion", "retry", "run")
_KINDS = ("cancel", "clear", "completion", "mark", "pause", "resume", "retry", "run")


def upgrade() -> None:
    op.add_column("run", sa.Column("rerun_of", sa.Text(), nullable=True))
    again = sa.text("rerun_of IS NOT NULL")
    op.create_index("run_rerun_of", "run", ["rerun_of"], postgresql_where=again, sqlite_where=again)
    op.add_column("run", sa.Column("paused", Document(), nullable=True))
    allow(_KINDS)
    op.create_table(
        "pause",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('pipeline', 'queue', 'team')", name=op.f("pause_kind_ck")),
        sa.PrimaryKeyConstraint("kind", "team", "name", name="pause_pk"),
    )


def downgrade() -> None:
    op.drop_table("pause")
    op.execute(sa.text(f"DELETE FROM inbox WHERE NOT ({one_of(_BEFORE)})"))
    allow(_BEFORE)
    op.drop_column("run", "paused")
    op.drop_index("run_rerun_of", "run")
    op.drop_column("run", "rerun_of")
