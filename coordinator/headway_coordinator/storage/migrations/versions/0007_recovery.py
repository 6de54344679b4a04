"""What people ask of runs that went wrong: more kinds of requests, and what is held back."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document, Key, Moment, Serial

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BEFORE = ("cancel", "completion", "retry", "run")
_KINDS = ("cancel", "clear", "completion", "mark", "pause", "resume", "retry", "run")
_COLUMNS = (
    "id", "run", "kind", "dedupe", "actor", "team", "pipeline", "body", "created_at", "applied_at",
    "result",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("run", sa.Column("rerun_of", sa.Text(), nullable=True))
    again = sa.text("rerun_of IS NOT NULL")
    op.create_index("run_rerun_of", "run", ["rerun_of"], postgresql_where=again, sqlite_where=again)
    op.add_column("run", sa.Column("paused", Document(), nullable=True))
    _allow(_KINDS)
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
    op.execute(sa.text(f"DELETE FROM inbox WHERE NOT ({_one_of(_BEFORE)})"))
    _allow(_BEFORE)
    op.drop_column("run", "paused")
    op.drop_index("run_rerun_of", "run")
    op.drop_column("run", "rerun_of")


def _one_of(kinds: Iterable[str]) -> str:
    return "kind IN ({})".format(", ".join(f"'{kind}'" for kind in kinds))


def _allow(kinds: Iterable[str]) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("inbox_kind_ck"), "inbox", type_="check")
        op.create_check_constraint(op.f("inbox_kind_ck"), "inbox", _one_of(kinds))
        return
    # SQLite changes no constraint: the table is made anew, and its numbers go on where they were.
    op.drop_index("inbox_pending", "inbox")
    op.drop_index("inbox_run", "inbox")
    op.rename_table("inbox", "inbox_before")
    _inbox(kinds)
    columns = ", ".join(_COLUMNS)
    op.execute(sa.text(f"INSERT INTO inbox ({columns}) SELECT {columns} FROM inbox_before"))
    op.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'inbox'"))
    op.execute(
        sa.text(
            "INSERT INTO sqlite_sequence (name, seq)"
            " SELECT 'inbox', seq FROM sqlite_sequence WHERE name = 'inbox_before'"
        )
    )
    op.drop_table("inbox_before")


def _inbox(kinds: Iterable[str]) -> None:
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
        sa.CheckConstraint(_one_of(kinds), name=op.f("inbox_kind_ck")),
        sa.PrimaryKeyConstraint("id", name="inbox_pk"),
        sa.UniqueConstraint("dedupe", name="inbox_dedupe_uq"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "inbox_pending",
        "inbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("applied_at IS NULL"),
    )
    op.create_index("inbox_run", "inbox", ["run"], unique=False)
