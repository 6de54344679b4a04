"""`headway queues`, `workers` and `leader`: how the installation is doing."""

from __future__ import annotations

import typer

from headway.cli import holding
from headway.cli.arguments import JsonOption
from headway.cli.connection import connect
from headway.cli.printing import clean, clock_time, print_document, print_table, rows_of


def register_queues(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    group.callback()(queues)
    holding.register_queues(group)
    app.add_typer(group, name="queues", help="Show what waits and runs in each queue; pause one.")


def register_workers(app: typer.Typer) -> None:
    app.command("workers", help="Show the workers and their slots.")(workers)


def register_leader(app: typer.Typer) -> None:
    app.command("leader", help="Show which coordinator leads.")(leader)


def queues(context: typer.Context, json: JsonOption = False) -> int:
    """Show what waits and runs in each queue; pause and resume one."""
    if context.invoked_subcommand is not None:
        return 0
    with connect() as client:
        answer = client.queues()
    if json:
        print_document(answer)
        return 0
    columns = ("queue", "ready", "dispatched", "running", "workers", "slots", "slots_free")
    rows = [
        (*(str(row.get(name, "-")) for name in columns), holding.held_words(row))
        for row in rows_of(answer, "queues")
    ]
    titles = (*(name.replace("_", " ").upper() for name in columns), "PAUSED")
    print_table(titles, rows, empty="no queues: nothing waits and no worker is here")
    return 0


def workers(json: JsonOption = False) -> int:
    """Show the workers and their slots."""
    with connect() as client:
        answer = client.workers()
    if json:
        print_document(answer)
        return 0
    rows = []
    for row in rows_of(answer, "workers"):
        names = (str(row.get("worker")), str(row.get("team")), str(row.get("hostname")))
        queues = ", ".join(str(queue) for queue in row.get("queues") or [])
        slots = f"{row.get('slots_free', '-')} of {row.get('slots', '-')} free"
        state = "draining" if row.get("draining") else "taking work"
        if not row.get("live", True):
            state = "silent"
        rows.append((*names, queues, slots, state, clock_time(row.get("seen_at"))))
    titles = ("WORKER", "TEAM", "HOST", "QUEUES", "SLOTS", "STATE", "LAST SEEN")
    print_table(titles, rows, empty="no workers; start one with `headway worker --team TEAM`")
    return 0


def leader(json: JsonOption = False) -> int:
    """Show which coordinator leads, or that none does."""
    with connect() as client:
        answer = client.leader()
    if json:
        print_document(answer)
        return 0
    if not answer.get("holder") or not answer.get("alive", True):
        print("no coordinator leads; nothing new is dispatched")
        return 0
    until = clock_time(answer.get("expires_at"))
    print(clean(f"{answer['holder']} leads, epoch {answer.get('epoch')}, lease until {until}"))
    return 0
