"""The outbox of notifications: who is told of a run's end, and how far that has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document, Key, Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOVING = {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05}


def upgrade() -> None:
    op.create_table(
        "notification",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("dedupe", Key, nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("body", Document(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("tried_at", Moment(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('dead', 'sent', 'waiting')", name=op.f("notification_state_ck")
        ),
        sa.PrimaryKeyConstraint("id", name="notification_pk"),
        sa.UniqueConstraint("dedupe", name="notification_dedupe_uq"),
        postgresql_with=_MOVING,
    )
    waits = sa.text("state = 'waiting'")
    op.create_index(
        "notification_waiting",
        "notification",
        ["due_at", "id"],
        unique=False,
        postgresql_where=waits,
        sqlite_where=waits,
    )
    op.create_index("notification_newest", "notification", ["created_at", "id"], unique=False)
    op.create_index("notification_run", "notification", ["run"], unique=False)


def downgrade() -> None:
    op.drop_table("notification")
