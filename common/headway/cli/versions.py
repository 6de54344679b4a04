"""`headway pipelines versions|diff|rollback`: what a pipeline was, and how to have it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from headway.cli.arguments import JsonOption
from headway.cli.connection import connect
from headway.cli.printing import clean, clock_time, print_document, print_table, rows_of
from headway.cli.stored import NameArgument, change_lines, find
from headway.errors import DefinitionError


def register(group: typer.Typer) -> None:
    group.command("versions", help="List the versions of a pipeline, newest first.")(versions)
    group.command("diff", help="Show what differs between two versions.")(diff)
    group.command("rollback", help="Make an earlier version the newest one again.")(rollback)


def versions(
    name: NameArgument,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many.")] = 20,
    json: JsonOption = False,
) -> int:
    """List the versions of a pipeline, newest first."""
    with connect() as client:
        team, pipeline = find(client, name)
        answer = client.versions(team, pipeline, limit=limit)
    found = rows_of(answer, "versions")
    if json:
        print_document({"pipeline": pipeline, "team": team, "versions": found})
        return 0
    rows = [_row(row, found) for row in found]
    titles = ("VERSION", "DIGEST", "CREATED", "BY", "NOTE")
    print_table(titles, rows, empty="no versions")
    return 0


def _row(row: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> tuple[str, ...]:
    number = int(row.get("version") or 0)
    same = [
        int(other.get("version") or 0) for other in rows if other.get("digest") == row.get("digest")
    ]
    earlier = [version for version in same if version < number]
    notes = ["current"] if row.get("current") else []
    notes += [f"the same as {max(earlier)}"] if earlier else []
    digest = str(row.get("digest"))[:12]
    actor = str(row.get("actor"))
    return str(number), digest, clock_time(row.get("created_at")), actor, ", ".join(notes)


def diff(
    name: NameArgument,
    first: Annotated[
        int | None, typer.Argument(metavar="[A]", min=1, help="From; else the one before B.")
    ] = None,
    second: Annotated[
        int | None, typer.Argument(metavar="[B]", min=1, help="To; else the newest.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Show what differs between two versions."""
    from headway.spec.changes import changes

    with connect() as client:
        team, pipeline = find(client, name)
        new = client.pipeline(team, pipeline, second)
        wanted = first if first is not None else int(new["version"]) - 1
        if wanted < 1:
            message = f"{team}/{pipeline} has one version; there is nothing to compare it with"
            raise DefinitionError(message, code="usage", hint="see `headway pipelines versions`")
        old = client.pipeline(team, pipeline, wanted)
    found = changes(old["definition"], new["definition"])
    if json:
        ends = [{key: one.get(key) for key in ("version", "digest")} for one in (old, new)]
        listed = [change.as_dict() for change in found]
        document = {"pipeline": pipeline, "team": team, "from": ends[0], "to": ends[1]}
        print_document({**document, "changes": listed})
        return 0
    title = f"{team}/{pipeline}: version {old['version']} → {new['version']}"
    print("\n".join(clean(line) for line in [title, *change_lines(found)]))
    if not found:
        print("  no difference")
    return 0


def rollback(
    name: NameArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Which one.")],
    json: JsonOption = False,
) -> int:
    """Make an earlier version the newest one again; runs that were started keep theirs."""
    with connect() as client:
        team, pipeline = find(client, name)
        answer = client.roll_back(team, pipeline, version)
    if json:
        print_document(answer)
        return 0
    where = f"{team}/{pipeline}"
    if not answer.get("changed"):
        print(f"{where}: version {answer.get('version')} is that definition already")
        return 0
    print(f"{where}: version {answer.get('version')} is version {version} again")
    print(f"undo: headway pipelines rollback {where} {answer.get('previous')}")
    return 0
