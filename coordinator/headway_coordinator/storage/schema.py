"""The tables. States are checked against the engine's own enumerations.

Partial indexes name their states as literals: neither database can match a bound parameter with
an index's condition.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    event,
    text,
)

from headway_coordinator.engine.states import (
    ATTEMPT_LIVE,
    RUN_TERMINAL,
    STEP_TERMINAL,
    AttemptStatus,
    RunStatus,
    StepStatus,
)
from headway_coordinator.storage import guards
from headway_coordinator.storage.columns import Document, Key, Moment, Serial

DECISION_OUTCOMES = ("duplicate", "filtered", "matched", "refused", "waiting")
EVENT_ORIGINS = ("asset", "broker", "cloudevent", "pipeline", "schedule", "webhook")
NOTIFICATION_STATES = ("dead", "sent", "waiting")
BACKFILL_STATES = ("cancelled", "done", "paused", "running")
BACKFILL_CHOICES = ("all", "failed", "missing")
BACKFILL_OUTCOMES = ("filtered", "refused")
TRIGGER_KINDS = ("asset", "event", "pipeline", "schedule", "webhook")
INBOX_KINDS = (
    "approval", "cancel", "clear", "completion", "mark", "pause", "resume", "retry", "run",
    "signal", "sub_run",
)  # fmt: skip
PAUSE_KINDS = ("pipeline", "queue", "team")
ROLES = ("admin", "author", "operator", "viewer", "worker")


def one_of(column: str, values: Iterable[str]) -> TextClause:
    """Return `column IN (…)` with its literals in a stable order."""
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return text(f"{column} IN ({listed})")


RUN_OPEN = one_of("run.state", set(RunStatus) - RUN_TERMINAL)
RUN_AGAIN = text("run.rerun_of IS NOT NULL")
STEP_OPEN = one_of("step.state", set(StepStatus) - STEP_TERMINAL)
ATTEMPT_DISPATCHED = text("attempt.state = 'dispatched'")
ATTEMPT_RUNNING = text("attempt.state = 'running'")
INBOX_PENDING = text("inbox.applied_at IS NULL")
TRIGGER_TIMED = text("trigger.next_at IS NOT NULL AND paused_at IS NULL")
EVENT_UNDECIDED = text("event.decided_at IS NULL")
DECISION_WAITING = text("decision.outcome = 'waiting'")
DECISION_DEDUPED = text("decision.dedupe_key IS NOT NULL")
NOTIFICATION_WAITING = text("notification.state = 'waiting'")
BACKFILL_RUNNING = text("backfill.state = 'running'")
DATE_WAITING = text("backfill_run.run IS NULL AND settled_at IS NULL")
DATE_OPEN = text("backfill_run.run IS NOT NULL AND settled_at IS NULL")

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "ck": "%(table_name)s_%(constraint_name)s_ck",
    }
)


def _check(column: str, values: Iterable[str]) -> CheckConstraint:
    return CheckConstraint(one_of(column, values), name=column)


def _index(name: str, *columns: Column[object] | str, where: TextClause | None = None) -> Index:
    """Return an index; `where` is written for queries, so its table name is taken off."""
    if where is None:
        return Index(name, *columns)
    condition = text(where.text.partition(".")[2])
    return Index(name, *columns, postgresql_where=condition, sqlite_where=condition)


# Rows that are updated in place a few times: room in the page keeps the new version beside the old.
_MOVING = {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05}

team = Table(
    "team",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("team", Text),
    Column("role", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
    UniqueConstraint("sha256"),
    _check("role", ROLES),
)

secret = Table(
    "secret",
    metadata,
    Column("team", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("box", LargeBinary, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("changed_by", Text, nullable=False),
    CheckConstraint("version >= 1", name="version"),
)

pipeline = Table(
    "pipeline",
    metadata,
    Column("team", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    CheckConstraint("version >= 0", name="version"),
)

definition = Table(
    "definition",
    metadata,
    Column("team", Text, primary_key=True),
    Column("pipeline", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("canonical", Document, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Index("definition_digest", "digest"),
)

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("params", Document, nullable=False),
    Column("actor", Text, nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("logical_date", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("deadline_at", Moment),
    Column("verdict", Text),
    Column("reason", Text),
    Column("request", Integer, nullable=False),
    Column("quarantine", Text),
    Column("group_key", Text),
    Column("origin", Document),
    # The run that it does again; `origin` says so, too.
    Column("rerun_of", Text),
    # Of a paused run: {at, by, reason}.
    Column("paused", Document),
    _check("state", RunStatus),
    CheckConstraint(f"verdict IS NULL OR {one_of('verdict', RUN_TERMINAL)}", name="verdict"),
    _index("run_open", "created_at", "id", where=RUN_OPEN),
    _index("run_rerun_of", "rerun_of", where=RUN_AGAIN),
    Index("run_newest", "created_at", "id"),
    Index("run_of_pipeline", "team", "pipeline", "created_at", "id"),
    postgresql_with=_MOVING,
)

step = Table(
    "step",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("idx", Integer, nullable=False),
    Column("queue", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("reason", Text),
    Column("due_at", Moment),
    Column("ready_at", Moment),
    Column("finished_at", Moment),
    Column("outputs", Document, nullable=False),
    Column("artifacts", Document, nullable=False),
    Column("error", Document),
    # Of a step that runs for each item: the items, once they are known.
    Column("items", Document),
    Column("progress", Document),  # what a step of its kind has been told or has counted so far
    _check("state", StepStatus),
    _index("step_open", "state", "queue", where=STEP_OPEN),
    postgresql_with=_MOVING,
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
    Column("step", Text, nullable=False),
    Column("no", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("work", Document, nullable=False),
    Column("dispatch_no", Integer, nullable=False),
    Column("dispatched_at", Moment, nullable=False),
    Column("claim_deadline", Moment, nullable=False),
    Column("worker", Text),
    Column("boot", Text),
    Column("claimed_at", Moment),
    Column("lease_expires_at", Moment),
    Column("cancel_at", Moment),
    Column("cancel_grace_ms", Integer),  # how long it then has to end by itself; null: as usual
    Column("stop_reason", Text),
    Column("reaped_at", Moment),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("reason", Text),
    Column("exit_code", BigInteger),
    Column("error", Document),
    Column("log_bytes", BigInteger, nullable=False),
    UniqueConstraint("run_id", "step", "no"),
    _check("state", AttemptStatus),
    CheckConstraint(
        "state <> 'running' OR (worker IS NOT NULL AND boot IS NOT NULL"
        " AND lease_expires_at IS NOT NULL)",
        name="held",
    ),
    _index("attempt_dispatched", "dispatched_at", "id", where=ATTEMPT_DISPATCHED),
    _index("attempt_running", "queue", "worker", where=ATTEMPT_RUNNING),
    postgresql_with=_MOVING,
)
Index(
    "attempt_one_live",
    attempt.c.run_id,
    attempt.c.step,
    unique=True,
    postgresql_where=one_of("state", ATTEMPT_LIVE),
    sqlite_where=one_of("state", ATTEMPT_LIVE),
)
for _dialect in ("postgresql", "sqlite"):
    for _statement in guards.ddl(_dialect):
        event.listen(attempt, "after_create", _statement)

trigger = Table(
    "trigger",
    metadata,
    Column("team", Text, primary_key=True),
    Column("pipeline", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    # What an event is looked up by: `github/shop` of a webhook, `team/pipeline` of a pipeline.
    Column("subject", Key, nullable=False),
    Column("body", Document, nullable=False),
    Column("since", Moment, nullable=False),
    # Of a schedule: the last tick that was seen to, and when the next one is to fire; long ago
    # for one that was never looked at, null for one that has come to its end.
    Column("last_at", Moment),
    Column("next_at", Moment),
    Column("paused_at", Moment),
    Column("paused_by", Text),
    _check("kind", TRIGGER_KINDS),
    Index("trigger_subject", "kind", "subject"),
    _index("trigger_due", "next_at", where=TRIGGER_TIMED),
    postgresql_with=_MOVING,
)

upstream = Table(
    "event",
    metadata,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("origin", Text, nullable=False),
    # Which triggers may hear it: see `trigger.subject`.
    Column("subject", Key, nullable=False),
    Column("dedupe", Key, nullable=False),
    Column("actor", Text, nullable=False),
    Column("event", Document, nullable=False),
    Column("type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("decided_at", Moment),
    UniqueConstraint("dedupe"),
    _check("origin", EVENT_ORIGINS),
    _index("event_undecided", "received_at", "id", where=EVENT_UNDECIDED),
    Index("event_newest", "received_at", "id"),
    Index("event_of_team", "team", "received_at", "id"),
    postgresql_with=_MOVING,
)

decision = Table(
    "decision",
    metadata,
    Column("event", ForeignKey("event.id", ondelete="CASCADE"), primary_key=True),
    Column("team", Text, primary_key=True),
    Column("pipeline", Text, primary_key=True),
    Column("trigger", Text, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("run", Text),
    Column("dedupe_key", Key),
    # What the run is started with, while it waits for more events.
    Column("wanted", Document),
    Column("at", Moment, nullable=False),
    _check("outcome", DECISION_OUTCOMES),
    _index("decision_waiting", "team", "pipeline", "trigger", "at", where=DECISION_WAITING),
    _index("decision_deduped", "team", "pipeline", "trigger", "dedupe_key", where=DECISION_DEDUPED),
    Index("decision_run", "run"),
    postgresql_with=_MOVING,
)

notification = Table(
    "notification",
    metadata,
    Column("id", Text, primary_key=True),
    Column("dedupe", Key, nullable=False),
    Column("team", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("event", Text, nullable=False),
    # As the definition has them: `secret://NAME`, or a URL.
    Column("webhook", Text, nullable=False),
    Column("body", Document, nullable=False),
    Column("state", Text, nullable=False),
    # Tries so far; each write of a try's end expects them.
    Column("attempts", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("tried_at", Moment),
    Column("problem", Text),
    UniqueConstraint("dedupe"),
    _check("state", NOTIFICATION_STATES),
    _index("notification_waiting", "due_at", "id", where=NOTIFICATION_WAITING),
    Index("notification_newest", "created_at", "id"),
    Index("notification_run", "run"),
    postgresql_with=_MOVING,
)


backfill = Table(
    "backfill",
    metadata,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("trigger", Text),
    Column("dedupe", Key, nullable=False),
    # What the caller said, as a digest: the same key with another request is refused.
    Column("request", Text, nullable=False),
    Column("actor", Text, nullable=False),
    # The schedule, and the trigger's `if` and `params`, as they were when it was started.
    Column("body", Document, nullable=False),
    Column("params", Document, nullable=False),
    Column("from_at", Moment, nullable=False),
    Column("until_at", Moment, nullable=False),
    Column("newest_first", Boolean, nullable=False),
    Column("choice", Text, nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("max_in_flight", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", Moment, nullable=False),
    Column("ended_at", Moment),
    UniqueConstraint("dedupe"),
    _check("choice", BACKFILL_CHOICES),
    _check("state", BACKFILL_STATES),
    CheckConstraint("max_in_flight >= 1", name="max_in_flight"),
    _index("backfill_running", "created_at", "id", where=BACKFILL_RUNNING),
    Index("backfill_newest", "created_at", "id"),
    postgresql_with=_MOVING,
)

backfill_run = Table(
    "backfill_run",
    metadata,
    Column("backfill", ForeignKey("backfill.id", ondelete="CASCADE"), primary_key=True),
    Column("logical_date", Moment, primary_key=True),
    Column("start_at", Moment, nullable=False),
    Column("end_at", Moment, nullable=False),
    # Which try it is: `retry` of the backfill makes a new run of the date.
    Column("no", Integer, nullable=False),
    Column("run", Text),
    # The leader has seen that it ended: it takes no room in the lane any more.
    Column("settled_at", Moment),
    # Why there is no run, of a date that gets none.
    Column("outcome", Text),
    Column("reason", Text),
    _check("outcome", BACKFILL_OUTCOMES),
    _index("backfill_run_waiting", "backfill", "logical_date", where=DATE_WAITING),
    _index("backfill_run_open", "backfill", where=DATE_OPEN),
    postgresql_with=_MOVING,
)

pause = Table(
    "pause",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("team", Text, primary_key=True),
    # The pipeline's, the queue's class, or empty: the whole team.
    Column("name", Text, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text),
    _check("kind", PAUSE_KINDS),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Serial, Identity(), primary_key=True),
    Column("run", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("dedupe", Key, nullable=False),
    Column("actor", Text, nullable=False),
    Column("team", Text),
    Column("pipeline", Text),
    Column("body", Document, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("applied_at", Moment),
    Column("result", Text),
    UniqueConstraint("dedupe"),
    _check("kind", INBOX_KINDS),
    _index("inbox_pending", "id", where=INBOX_PENDING),
    Index("inbox_run", "run"),
    sqlite_autoincrement=True,
    postgresql_with=_MOVING,
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
    # Makes epoch a key column: a takeover waits for whoever holds the row FOR KEY SHARE.
    UniqueConstraint("name", "epoch"),
)

worker = Table(
    "worker",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("boot", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("queues", Document, nullable=False),
    Column("slots", BigInteger, nullable=False),
    Column("slots_free", BigInteger, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("machine_boot", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("registered_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    # Makes boot a key column: a new boot waits for a claim that holds the row FOR KEY SHARE.
    UniqueConstraint("worker", "boot"),
)

worker_boot = Table(
    "worker_boot",
    metadata,
    Column("worker", ForeignKey("worker.worker", ondelete="CASCADE"), primary_key=True),
    Column("boot", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("registered_at", Moment, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Serial, Identity(), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("transitions", Document, nullable=False),
    Index("audit_run", "run", "id"),
    sqlite_autoincrement=True,
)
