"""`headway pipelines`: the pipelines that are stored, and their versions."""

from __future__ import annotations

import typer

from headway.cli import holding, versions
from headway.cli.arguments import JsonOption
from headway.cli.connection import connect
from headway.cli.printing import print_document, print_table, rows_of, state_words


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.callback(help="List, pause and resume pipelines; list, compare and restore versions.")(
        _group
    )
    group.command("list", help="List the pipelines.")(list_pipelines)
    versions.register(group)
    holding.register_pipelines(group)
    app.add_typer(group, name="pipelines")


def _group() -> None:
    """List, pause and resume pipelines; list, compare and restore versions."""


def list_pipelines(json: JsonOption = False) -> int:
    """List the pipelines that you may see."""
    with connect() as client:
        answer = client.pipelines()
    if json:
        print_document(answer)
        return 0
    rows = []
    for row in rows_of(answer, "pipelines"):
        last = row.get("last_run") or {}
        names = (str(row.get("pipeline")), str(row.get("team")), str(row.get("owner") or "-"))
        state = state_words(str(last["state"])) if last else "never ran"
        held = holding.held_words(row)
        rows.append((*names, str(row.get("version", "-")), state, held))
    titles = ("PIPELINE", "TEAM", "OWNER", "VERSION", "LAST RUN", "PAUSED")
    print_table(titles, rows, empty="no pipelines; store one with `headway apply FILE`")
    return 0
