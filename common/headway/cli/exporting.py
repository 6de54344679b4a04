"""`headway export`: stored definitions as the files that they could have come from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headway.cli.arguments import JsonOption
from headway.cli.connection import connect
from headway.cli.printing import print_document, print_table, rows_of
from headway.cli.stored import find
from headway.errors import ConflictError, DefinitionError

if TYPE_CHECKING:
    from headway.client import Client

STDOUT = Path("-")


def register(app: typer.Typer) -> None:
    app.command("export", help="Write stored definitions back as files.")(export)


def export(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAMES]", help="Pipelines, or TEAM/NAME.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every pipeline.")] = False,
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="The folder; `-` is stdout.")
    ] = STDOUT,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    json: JsonOption = False,
) -> int:
    """Write the newest version of each pipeline to DIR/TEAM/NAME.yaml."""
    if bool(names) == everything:
        hint = "give names, or --all"
        raise DefinitionError("which pipelines?", code="usage", hint=hint)
    with connect() as client:
        wanted = _all(client) if everything else [find(client, name) for name in names or []]
        rows = [_row(client.pipeline(team, name), to) for team, name in dict.fromkeys(wanted)]
    if to != STDOUT:
        _write(rows, force=force)
    if json:
        kept = (
            "pipeline",
            "team",
            "version",
            "digest",
            "file",
            *(["text"] if to == STDOUT else []),
        )
        print_document({"exported": [{key: row[key] for key in kept} for row in rows]})
    elif to == STDOUT:
        sys.stdout.write("---\n".join(row["text"] for row in rows))
    else:
        table = [(row["pipeline"], row["team"], str(row["version"]), row["file"]) for row in rows]
        print_table(("PIPELINE", "TEAM", "VERSION", "FILE"), table, empty="no pipelines")
    return 0


def _all(client: Client) -> list[tuple[str, str]]:
    rows = rows_of(client.pipelines(), "pipelines")
    return [(str(row.get("team")), str(row.get("pipeline"))) for row in rows]


def _row(stored: dict[str, Any], to: Path) -> dict[str, Any]:
    from headway.spec.writing import written

    team, name = str(stored["team"]), str(stored["pipeline"])
    file = None if to == STDOUT else str(to / team / f"{name}.yaml")
    text = written(stored["definition"])
    return {**stored, "team": team, "pipeline": name, "file": file, "text": text}


def _write(rows: Sequence[dict[str, Any]], *, force: bool) -> None:
    """Write all files, or none if one is there already."""
    there = [row["file"] for row in rows if Path(row["file"]).exists()]
    if there and not force:
        message = f"{there[0]} is there already" + (
            f", and {len(there) - 1} more" if len(there) > 1 else ""
        )
        raise ConflictError("exists", message, "take another folder, or replace it with --force")
    try:
        for row in rows:
            file = Path(row["file"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(row["text"], encoding="utf-8")
    except OSError as error:
        message = f"cannot write {error.filename}: {error.strerror}"
        raise DefinitionError(message, code="unwritable_file") from error
