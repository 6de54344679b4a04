"""Backfills: a range of a schedule's dates, and the run of each of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document, Key, Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOVING = {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05}


def upgrade() -> None:
    _backfill()
    _backfill_run()


def _backfill() -> None:
    op.create_table(
        "backfill",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=True),
        sa.Column("dedupe", Key, nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("body", Document(), nullable=False),
        sa.Column("params", Document(), nullable=False),
        sa.Column("from_at", Moment(), nullable=False),
        sa.Column("until_at", Moment(), nullable=False),
        sa.Column("newest_first", sa.Boolean(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("max_in_flight", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.CheckConstraint(
            "choice IN ('all', 'failed', 'missing')", name=op.f("backfill_choice_ck")
        ),
        sa.CheckConstraint(
            "state IN ('cancelled', 'done', 'paused', 'running')", name=op.f("backfill_state_ck")
        ),
        sa.CheckConstraint("max_in_flight >= 1", name=op.f("backfill_max_in_flight_ck")),
        sa.PrimaryKeyConstraint("id", name="backfill_pk"),
        sa.UniqueConstraint("dedupe", name="backfill_dedupe_uq"),
        postgresql_with=_MOVING,
    )
    _partial("backfill_running", "backfill", ["created_at", "id"], "state = 'running'")
    op.create_index("backfill_newest", "backfill", ["created_at", "id"], unique=False)


def _backfill_run() -> None:
    op.create_table(
        "backfill_run",
        sa.Column("backfill", sa.Text(), nullable=False),
        sa.Column("logical_date", Moment(), nullable=False),
        sa.Column("start_at", Moment(), nullable=False),
        sa.Column("end_at", Moment(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("settled_at", Moment(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('filtered', 'refused')", name=op.f("backfill_run_outcome_ck")
        ),
        sa.ForeignKeyConstraint(
            ["backfill"], ["backfill.id"], name="backfill_run_backfill_fk", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("backfill", "logical_date", name="backfill_run_pk"),
        postgresql_with=_MOVING,
    )
    waiting, open_ = "run IS NULL AND settled_at IS NULL", "run IS NOT NULL AND settled_at IS NULL"
    _partial("backfill_run_waiting", "backfill_run", ["backfill", "logical_date"], waiting)
    _partial("backfill_run_open", "backfill_run", ["backfill"], open_)


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        name,
        table,
        columns,
        unique=False,
        postgresql_where=condition,
        sqlite_where=condition,
    )


def downgrade() -> None:
    op.drop_table("backfill_run")
    op.drop_table("backfill")
