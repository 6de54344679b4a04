"""`headway triggers`: what starts the pipelines, when next, and pausing it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from headway.cli.arguments import JsonOption
from headway.cli.connection import connect
from headway.cli.naming import team_and_filter, team_and_name
from headway.cli.printing import clean, clock_time, one_line, print_document, print_table, rows_of
from headway.errors import DefinitionError, ForbiddenError

TeamOption = Annotated[str | None, typer.Option("--team", help="Only of this team.")]
PipelineArgument = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="The pipeline's name, or TEAM/NAME.")
]
TriggerArgument = Annotated[
    str | None, typer.Argument(metavar="[TRIGGER]", help="The trigger's name; without, all of it.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("list", help="List triggers, with the next times of schedules.")(list_triggers)
    group.command("pause", help="Let a pipeline's triggers start no runs for now.")(pause)
    group.command("resume", help="Let paused triggers go on.")(resume)
    app.add_typer(group, name="triggers", help="List, pause and resume triggers.")


def list_triggers(
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Only of this pipeline, or TEAM/NAME.")
    ] = None,
    team: TeamOption = None,
    json: JsonOption = False,
) -> int:
    """List triggers: what each listens to, and when a schedule is due next."""
    team, pipeline = team_and_filter(pipeline, team)
    with connect() as client:
        answer = client.triggers(pipeline=pipeline, team=team)
    if json:
        print_document(answer)
        return 0
    rows = [_row(row) for row in rows_of(answer, "triggers")]
    titles = ("PIPELINE", "TRIGGER", "LISTENS TO", "NEXT", "PROBLEM")
    empty = "no triggers; give a pipeline `triggers:` and apply it"
    print_table(titles, rows, empty=empty)
    hints = [row["problem"]["hint"] for row in rows_of(answer, "triggers") if row.get("problem")]
    for hint in dict.fromkeys(hints):
        print(f"mend: {clean(hint)}", file=sys.stderr)
    return 0


def _row(row: Any) -> tuple[str, ...]:
    if row.get("paused_at"):
        following = f"paused by {row.get('paused_by')}"
    else:
        following = ", ".join(clock_time(at) for at in row.get("next") or [])
    place = f"{row.get('team')}/{row.get('pipeline')}"
    problem = one_line((row.get("problem") or {}).get("message") or "-", 80)
    name, about = str(row.get("trigger")), one_line(_about(row), 60)
    return place, name, about, following or "-", problem


def _about(row: Any) -> str:
    about = row.get("about") or {}
    match row.get("kind"):
        case "schedule" if about.get("cron"):
            return f"{about['cron']} ({about.get('timezone')})"
        case "schedule":
            return f"every {about.get('every')} s"
        case "webhook":
            return f"POST {row.get('address')}"
        case "event":
            return f"event {about.get('type')}"
        case "asset":
            words = " and " if about.get("all") else " or "
            return "asset " + words.join(about.get("all") or about.get("any") or [])
        case _:
            return f"runs of {about.get('name')} that {' or '.join(about.get('on') or [])}"


def pause(
    pipeline: PipelineArgument,
    trigger: TriggerArgument = None,
    team: TeamOption = None,
    json: JsonOption = False,
) -> int:
    """Pause a pipeline's triggers. What they hear meanwhile is kept, and starts no run."""
    return _steer(pipeline, trigger, team, as_json=json, pause=True)


def resume(
    pipeline: PipelineArgument,
    trigger: TriggerArgument = None,
    team: TeamOption = None,
    json: JsonOption = False,
) -> int:
    """Let a pipeline's triggers go on. A schedule treats the ticks meanwhile as missed ones."""
    return _steer(pipeline, trigger, team, as_json=json, pause=False)


def _steer(
    pipeline: str, trigger: str | None, team: str | None, *, as_json: bool, pause: bool
) -> int:
    team, pipeline = team_and_name(pipeline, team)
    with connect() as client:
        found = rows_of(client.triggers(pipeline=pipeline, team=team), "triggers")
        if not found:
            message = f"there is no pipeline `{pipeline}` with triggers"
            hint = "headway triggers list shows what there is"
            raise ForbiddenError("not_found", message, hint, status=404)
        teams = {str(row["team"]) for row in found}
        if len(teams) > 1:
            message = f"several teams have a pipeline `{pipeline}`: {', '.join(sorted(teams))}"
            raise DefinitionError(message, code="team_needed", hint="Name the team: --team NAME.")
        names = (
            [trigger]
            if trigger is not None
            else [str(row["trigger"]) for row in found if bool(row["paused_at"]) is not pause]
        )
        owner = next(iter(teams), team or "-")
        changed = [client.steer_trigger(owner, pipeline, name, pause=pause) for name in names]
    if as_json:
        print_document({"triggers": changed})
        return 0
    word = "paused" if pause else "on again"
    for row in changed:
        print(f"{row.get('team')}/{row.get('pipeline')}: {row.get('trigger')} is {word}")
    if not changed:
        print(f"nothing to do: no trigger of {pipeline} is {'on' if pause else 'paused'}")
    return 0
