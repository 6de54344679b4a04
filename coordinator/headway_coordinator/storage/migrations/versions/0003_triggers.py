"""What starts runs: triggers, the events that came, and what each trigger made of each event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document, Key, Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOVING = {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05}


def upgrade() -> None:
    op.add_column("run", sa.Column("group_key", sa.Text(), nullable=True))
    op.add_column("run", sa.Column("origin", Document(), nullable=True))
    _trigger()
    _event()
    _decision()


def _trigger() -> None:
    op.create_table(
        "trigger",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", Key, nullable=False),
        sa.Column("body", Document(), nullable=False),
        sa.Column("since", Moment(), nullable=False),
        sa.Column("last_at", Moment(), nullable=True),
        sa.Column("next_at", Moment(), nullable=True),
        sa.Column("paused_at", Moment(), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('asset', 'event', 'pipeline', 'schedule', 'webhook')",
            name=op.f("trigger_kind_ck"),
        ),
        sa.PrimaryKeyConstraint("team", "pipeline", "name", name="trigger_pk"),
        postgresql_with=_MOVING,
    )
    op.create_index("trigger_subject", "trigger", ["kind", "subject"], unique=False)
    _partial("trigger_due", "trigger", ["next_at"], "next_at IS NOT NULL AND paused_at IS NULL")


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("subject", Key, nullable=False),
        sa.Column("dedupe", Key, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("event", Document(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.Column("decided_at", Moment(), nullable=True),
        sa.CheckConstraint(
            "origin IN ('asset', 'broker', 'cloudevent', 'pipeline', 'schedule', 'webhook')",
            name=op.f("event_origin_ck"),
        ),
        sa.PrimaryKeyConstraint("id", name="event_pk"),
        sa.UniqueConstraint("dedupe", name="event_dedupe_uq"),
        postgresql_with=_MOVING,
    )
    _partial("event_undecided", "event", ["received_at", "id"], "decided_at IS NULL")
    op.create_index("event_newest", "event", ["received_at", "id"], unique=False)
    op.create_index("event_of_team", "event", ["team", "received_at", "id"], unique=False)


def _decision() -> None:
    op.create_table(
        "decision",
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("dedupe_key", Key, nullable=True),
        sa.Column("wanted", Document(), nullable=True),
        sa.Column("at", Moment(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('duplicate', 'filtered', 'matched', 'refused', 'waiting')",
            name=op.f("decision_outcome_ck"),
        ),
        sa.ForeignKeyConstraint(
            ["event"], ["event.id"], name="decision_event_fk", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event", "team", "pipeline", "trigger", name="decision_pk"),
        postgresql_with=_MOVING,
    )
    columns = ["team", "pipeline", "trigger"]
    _partial("decision_waiting", "decision", [*columns, "at"], "outcome = 'waiting'")
    _partial("decision_deduped", "decision", [*columns, "dedupe_key"], "dedupe_key IS NOT NULL")
    op.create_index("decision_run", "decision", ["run"], unique=False)


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
    for table in ("decision", "event", "trigger"):
        op.drop_table(table)
    op.drop_column("run", "origin")
    op.drop_column("run", "group_key")
