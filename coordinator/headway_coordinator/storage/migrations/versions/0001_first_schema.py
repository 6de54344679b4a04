"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage import guards
from headway_coordinator.storage.columns import Document, Key, Moment, Serial

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_RUN_STATES = (
    "state IN ('cancelled', 'cancelling', 'failed', 'paused', 'queued', 'running', "
    "'succeeded', 'timed_out')"
)
_STEP_STATES = (
    "state IN ('awaiting_approval', 'cancelled', 'deferred', 'failed', 'pending', 'ready', "
    "'retry_wait', 'running', 'skipped', 'succeeded', 'upstream_failed')"
)
_STEP_OPEN = (
    "state IN ('awaiting_approval', 'deferred', 'pending', 'ready', 'retry_wait', 'running')"
)
_ATTEMPT_STATES = (
    "state IN ('cancelled', 'dispatched', 'failed', 'lost', 'running', 'succeeded', 'timed_out')"
)
_ATTEMPT_HELD = (
    "state <> 'running' OR (worker IS NOT NULL AND boot IS NOT NULL AND lease_expires_at IS "
    "NOT NULL)"
)


def upgrade() -> None:
    _run()
    _step()
    _attempt()
    _inbox()
    _lease()
    _worker()
    _worker_boot()
    _audit()
    _pipeline()
    _definition()
    _team()
    _token()
    for statement in guards.statements(op.get_bind().dialect.name):
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))


def downgrade() -> None:
    # `headway db` offers no way down, and this one would delete every run.
    raise RuntimeError("below the first schema there is none: drop the database instead")


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("params", Document(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("logical_date", Moment(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("deadline_at", Moment(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request", sa.Integer(), nullable=False),
        sa.Column("quarantine", sa.Text(), nullable=True),
        sa.CheckConstraint(
            _RUN_STATES,
            name=op.f("run_state_ck"),
        ),
        sa.CheckConstraint(
            "verdict IS NULL OR verdict IN ('cancelled', 'failed', 'succeeded', 'timed_out')",
            name=op.f("run_verdict_ck"),
        ),
        sa.PrimaryKeyConstraint("id", name="run_pk"),
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05},
    )
    op.create_index("run_newest", "run", ["created_at", "id"], unique=False)
    op.create_index(
        "run_of_pipeline", "run", ["team", "pipeline", "created_at", "id"], unique=False
    )
    op.create_index(
        "run_open",
        "run",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('cancelling', 'paused', 'queued', 'running')"),
        sqlite_where=sa.text("state IN ('cancelling', 'paused', 'queued', 'running')"),
    )


def _step() -> None:
    op.create_table(
        "step",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("due_at", Moment(), nullable=True),
        sa.Column("ready_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("outputs", Document(), nullable=False),
        sa.Column("artifacts", Document(), nullable=False),
        sa.Column("error", Document(), nullable=True),
        sa.CheckConstraint(
            _STEP_STATES,
            name=op.f("step_state_ck"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="step_run_id_fk", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "key", name="step_pk"),
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05},
    )
    op.create_index(
        "step_open",
        "step",
        ["state", "queue"],
        unique=False,
        postgresql_where=sa.text(_STEP_OPEN),
        sqlite_where=sa.text(_STEP_OPEN),
    )


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("work", Document(), nullable=False),
        sa.Column("dispatch_no", sa.Integer(), nullable=False),
        sa.Column("dispatched_at", Moment(), nullable=False),
        sa.Column("claim_deadline", Moment(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("boot", sa.Text(), nullable=True),
        sa.Column("claimed_at", Moment(), nullable=True),
        sa.Column("lease_expires_at", Moment(), nullable=True),
        sa.Column("cancel_at", Moment(), nullable=True),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("reaped_at", Moment(), nullable=True),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.BigInteger(), nullable=True),
        sa.Column("error", Document(), nullable=True),
        sa.Column("log_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            _ATTEMPT_HELD,
            name=op.f("attempt_held_ck"),
        ),
        sa.CheckConstraint(
            _ATTEMPT_STATES,
            name=op.f("attempt_state_ck"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="attempt_run_id_fk", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="attempt_pk"),
        sa.UniqueConstraint("run_id", "step", "no", name="attempt_run_id_step_no_uq"),
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05},
    )
    op.create_index(
        "attempt_dispatched",
        "attempt",
        ["dispatched_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'dispatched'"),
        sqlite_where=sa.text("state = 'dispatched'"),
    )
    op.create_index(
        "attempt_one_live",
        "attempt",
        ["run_id", "step"],
        unique=True,
        postgresql_where=sa.text("state IN ('dispatched', 'running')"),
        sqlite_where=sa.text("state IN ('dispatched', 'running')"),
    )
    op.create_index(
        "attempt_running",
        "attempt",
        ["queue", "worker"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", Serial, sa.Identity(always=False), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("dedupe", Key, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("pipeline", sa.Text(), nullable=True),
        sa.Column("body", Document(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("applied_at", Moment(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('cancel', 'completion', 'retry', 'run')", name=op.f("inbox_kind_ck")
        ),
        sa.PrimaryKeyConstraint("id", name="inbox_pk"),
        sa.UniqueConstraint("dedupe", name="inbox_dedupe_uq"),
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05},
        sqlite_autoincrement=True,
    )
    op.create_index(
        "inbox_pending",
        "inbox",
        ["id"],
        unique=False,
        postgresql_where=sa.text("applied_at IS NULL"),
        sqlite_where=sa.text("applied_at IS NULL"),
    )
    op.create_index("inbox_run", "inbox", ["run"], unique=False)


def _lease() -> None:
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="lease_pk"),
        sa.UniqueConstraint("name", "epoch", name="lease_name_epoch_uq"),
    )


def _worker() -> None:
    op.create_table(
        "worker",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("queues", Document(), nullable=False),
        sa.Column("slots", sa.BigInteger(), nullable=False),
        sa.Column("slots_free", sa.BigInteger(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("machine_boot", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("registered_at", Moment(), nullable=False),
        sa.Column("seen_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("worker", name="worker_pk"),
        sa.UniqueConstraint("worker", "boot", name="worker_worker_boot_uq"),
    )


def _worker_boot() -> None:
    op.create_table(
        "worker_boot",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("registered_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["worker"], ["worker.worker"], name="worker_boot_worker_fk", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("worker", "boot", name="worker_boot_pk"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", Serial, sa.Identity(always=False), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("transitions", Document(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_run", "audit", ["run", "id"], unique=False)


def _pipeline() -> None:
    op.create_table(
        "pipeline",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("version >= 0", name=op.f("pipeline_version_ck")),
        sa.PrimaryKeyConstraint("team", "name", name="pipeline_pk"),
    )


def _definition() -> None:
    op.create_table(
        "definition",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("canonical", Document(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("team", "pipeline", "version", name="definition_pk"),
    )
    op.create_index("definition_digest", "definition", ["digest"], unique=False)


def _team() -> None:
    op.create_table(
        "team",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="team_pk"),
    )


def _token() -> None:
    op.create_table(
        "token",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("revoked_at", Moment(), nullable=True),
        sa.Column("last_used_at", Moment(), nullable=True),
        sa.CheckConstraint(
            "role IN ('admin', 'author', 'operator', 'viewer', 'worker')",
            name=op.f("token_role_ck"),
        ),
        sa.PrimaryKeyConstraint("id", name="token_pk"),
        sa.UniqueConstraint("sha256", name="token_sha256_uq"),
    )
