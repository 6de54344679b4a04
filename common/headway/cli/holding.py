"""`pause` and `resume` of pipelines, queues and teams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from headway.cli.arguments import JsonOption, ReasonOption
from headway.cli.connection import connect
from headway.cli.printing import clean, print_document, rows_of
from headway.client import Client
from headway.errors import DefinitionError, ForbiddenError

PipelineArgument = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline's name.")]
QueueArgument = Annotated[str, typer.Argument(metavar="TEAM.CLASS", help="The queue's name.")]
TeamArgument = Annotated[str, typer.Argument(metavar="NAME", help="The team's name.")]
TeamOption = Annotated[
    str | None, typer.Option("--team", help="Whose, if several teams have one of that name.")
]


def register_pipelines(group: typer.Typer) -> None:
    group.command("pause", help="Start no steps of a pipeline for now.")(pause_pipeline)
    group.command("resume", help="Let a paused pipeline go on.")(resume_pipeline)


def register_queues(group: typer.Typer) -> None:
    group.command("pause", help="Start no steps of a queue for now.")(pause_queue)
    group.command("resume", help="Let a paused queue go on.")(resume_queue)


def register_team(group: typer.Typer) -> None:
    group.command("pause", help="Start no steps of a team for now.")(pause_team)
    group.command("resume", help="Let a paused team go on.")(resume_team)


def held_words(row: Mapping[str, Any]) -> str:
    """Return who paused what the row of a list names, or a dash."""
    held = row.get("paused")
    if not held:
        return "-"
    because = f": {held['reason']}" if held.get("reason") else ""
    return clean(f"paused by {held.get('by')}{because}")


def pause_pipeline(
    name: PipelineArgument,
    team: TeamOption = None,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Start no steps of a pipeline's runs. New runs are accepted, and wait."""
    return _pipeline(name, team, reason, pause=True, as_json=json)


def resume_pipeline(
    name: PipelineArgument,
    team: TeamOption = None,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Let a paused pipeline go on."""
    return _pipeline(name, team, reason, pause=False, as_json=json)


def pause_queue(queue: QueueArgument, reason: ReasonOption = None, json: JsonOption = False) -> int:
    """Start no steps of a queue; what runs goes on."""
    with connect() as client:
        return _steered(client, f"/queues/{quote(queue)}", reason, pause=True, as_json=json)


def resume_queue(
    queue: QueueArgument, reason: ReasonOption = None, json: JsonOption = False
) -> int:
    """Let a paused queue go on."""
    with connect() as client:
        return _steered(client, f"/queues/{quote(queue)}", reason, pause=False, as_json=json)


def pause_team(name: TeamArgument, reason: ReasonOption = None, json: JsonOption = False) -> int:
    """Start no steps of a team; what runs goes on."""
    with connect() as client:
        return _steered(client, f"/teams/{quote(name)}", reason, pause=True, as_json=json)


def resume_team(name: TeamArgument, reason: ReasonOption = None, json: JsonOption = False) -> int:
    """Let a paused team go on."""
    with connect() as client:
        return _steered(client, f"/teams/{quote(name)}", reason, pause=False, as_json=json)


def _pipeline(
    name: str, team: str | None, reason: str | None, *, pause: bool, as_json: bool
) -> int:
    given, _, name = name.rpartition("/")  # lists write TEAM/PIPELINE
    team = team or given or None
    with connect() as client:
        rows = rows_of(client.pipelines(), "pipelines")
        teams = sorted(str(r["team"]) for r in rows if r["pipeline"] == name)
        teams = [each for each in teams if team in (None, each)]
        if not teams:
            hint = "headway pipelines list shows what there is"
            raise ForbiddenError("not_found", f"there is no pipeline `{name}`", hint, status=404)
        if len(teams) > 1:
            message = f"several teams have a pipeline `{name}`: {', '.join(teams)}"
            raise DefinitionError(message, code="team_needed", hint="Name the team: --team NAME.")
        path = f"/pipelines/{quote(teams[0])}/{quote(name)}"
        return _steered(client, path, reason, pause=pause, as_json=as_json)


def _steered(client: Client, path: str, reason: str | None, *, pause: bool, as_json: bool) -> int:
    answer = client.steer(path, pause=pause, reason=reason)
    if as_json:
        print_document(answer)
    else:
        word = "paused" if pause else "on again"
        print(f"{answer.get('kind')} {clean(path.rpartition('/')[2])} is {word}")
    return 0
