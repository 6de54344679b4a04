"""What says which dates a backfill runs, and how: alike for looking at it and for starting it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

PipelineArgument = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="The pipeline's name, or TEAM/NAME.")
]
FromOption = Annotated[
    str,
    typer.Option("--from", metavar="DAY|TIME", help="The first day, or the first moment."),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="DAY|TIME", help="The last day or moment; otherwise now."),
]
TriggerOption = Annotated[
    str | None, typer.Option("--trigger", help="Which schedule, where there are several.")
]
EveryOption = Annotated[
    str | None, typer.Option("--every", help="Without a schedule: how often, such as 1d or 1h.")
]
CronOption = Annotated[
    str | None, typer.Option("--cron", help="Without a schedule: when, such as '0 6 * * 1-5'.")
]
TimezoneOption = Annotated[
    str | None, typer.Option("--timezone", help="Of --cron and of days; otherwise UTC.")
]
OrderOption = Annotated[
    Literal["newest", "oldest"], typer.Option("--order", help="Which dates come first.")
]
OnlyOption = Annotated[
    Literal["all", "failed", "missing"],
    typer.Option("--only", help="Only dates that failed, or that no run has covered."),
]
MaxInFlightOption = Annotated[
    int,
    typer.Option("--max-in-flight", min=1, max=1000, help="How many runs at the same time."),
]
PriorityOption = Annotated[
    int | None,
    typer.Option("--priority", min=-1000, max=1000, help="Of its runs; otherwise -100 or less."),
]
TeamOption = Annotated[
    str | None, typer.Option("--team", help="The team, where several have such a pipeline.")
]
