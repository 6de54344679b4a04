"""The kinds that inbox rows may be of, from one version of the schema to the next."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from headway_coordinator.storage.columns import Document, Key, Moment, Serial

_COLUMNS = (
    "id", "run", "kind", "dedupe", "actor", "team", "pipeline", "body", "created_at", "applied_at",
    "result",
)  # fmt: skip


def one_of(kinds: Iterable[str]) -> str:
    """Return the condition of a row that is of one of these kinds."""
    return "kind IN ({})".format(", ".join(f"'{kind}'" for kind in kinds))


def allow(kinds: Iterable[str]) -> None:
    """Let inbox rows be of these kinds alone."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("inbox_kind_ck"), "inbox", type_="check")
        op.create_check_constraint(op.f("inbox_kind_ck"), "inbox", one_of(kinds))
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
        sa.CheckConstraint(one_of(kinds), name=op.f("inbox_kind_ck")),
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
