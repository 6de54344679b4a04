"""Every command by name, with its line of help and where it lies; imports nothing heavy.

`headway --help` is written from this table alone. A command's module has `register(app)`, which
adds it to a Typer application; a plug-in registers the same by entry point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

GROUP = "headway.commands"


class Entry(NamedTuple):
    """One command. `extra` is the part of the distribution that it needs, if any."""

    name: str
    help: str
    target: str
    section: str
    extra: str | None = None

    def load(self) -> Callable[[Any], None]:
        """Return the function that registers the command. Raises ModuleNotFoundError."""
        import importlib

        module, _, function = self.target.partition(":")
        register: Callable[[Any], None] = getattr(importlib.import_module(module), function)
        return register


_PIPELINES, _RUNS, _INSTALLATION, _SERVICES = "Pipelines", "Runs", "Installation", "Services"
_HERE = "headway.cli."
_COORDINATOR = "headway_coordinator.cli:register"

CATALOGUE: tuple[Entry, ...] = (
    Entry("validate", "Check definitions and show every mistake.",
          _HERE + "definitions:register_validate", _PIPELINES),
    Entry("plan", "Show the graph, the queues, and what would change.",
          _HERE + "planning:register", _PIPELINES),
    Entry("simulate", "Show what a run would become; nothing runs.",
          _HERE + "simulating:register", _PIPELINES, "coordinator"),
    Entry("test", "Run the tests that definitions carry, in simulation.",
          _HERE + "testing:register", _PIPELINES, "coordinator"),
    Entry("apply", "Store definitions: all of them, or none.",
          _HERE + "definitions:register_apply", _PIPELINES),
    Entry("schema", "Print the JSON Schema of definitions, for editors.",
          _HERE + "schema:register", _PIPELINES),
    Entry("pipelines", "List, pause and resume pipelines; list, compare and restore versions.",
          _HERE + "pipelines:register", _PIPELINES),
    Entry("export", "Write stored definitions back as files.",
          _HERE + "exporting:register", _PIPELINES),
    Entry("init", "Make a first pipeline that runs.",
          _HERE + "starter:register", _PIPELINES),
    Entry("run", "Start a run of a pipeline or of a definition file.",
          _HERE + "starting:register", _RUNS),
    Entry("runs", "List, show, explain, follow, cancel and recover runs.",
          _HERE + "runs:register", _RUNS),
    Entry("events", "List, show, replay and send events.",
          _HERE + "events:register", _RUNS),
    Entry("triggers", "List, pause and resume triggers.",
          _HERE + "triggers:register", _RUNS),
    Entry("backfill", "Run a range of a schedule's dates; steer it.",
          _HERE + "backfill:register", _RUNS),
    Entry("notifications", "List, show and repeat what was told of runs' ends.",
          _HERE + "notifications:register", _RUNS),
    Entry("queues", "Show what waits and runs in each queue; pause one.",
          _HERE + "installation:register_queues", _INSTALLATION),
    Entry("workers", "Show the workers and their slots.",
          _HERE + "installation:register_workers", _INSTALLATION),
    Entry("leader", "Show which coordinator leads.",
          _HERE + "installation:register_leader", _INSTALLATION),
    Entry("doctor", "Say what is wrong with the installation, and the mend.",
          _HERE + "doctor:register", _INSTALLATION),
    Entry("team", "Add, list, pause and resume teams.", _HERE + "teams:register", _INSTALLATION),
    Entry("token", "Create, list and revoke tokens.", _HERE + "tokens:register", _INSTALLATION),
    Entry("secret", "Set, list and remove secrets.", _HERE + "secrets:register", _INSTALLATION),
    Entry("up", "Run the whole of Headway on this machine.", _COORDINATOR, _SERVICES, "embedded"),
    Entry("coordinator", "Run a coordinator.", _COORDINATOR, _SERVICES, "coordinator"),
    Entry("worker", "Run steps of a team.", "headway_worker.cli:register", _SERVICES),
    Entry("flower", "Run Flower: Celery's workers and queues, read-only.",
          "headway_worker.cli:register", _SERVICES, "coordinator"),
    Entry("db", "Bring the database to this version.", _COORDINATOR, _SERVICES, "coordinator"),
    Entry("bench", "Measure this installation beside Celery canvas.",
          _COORDINATOR, _SERVICES, "coordinator"),
)  # fmt: skip


def find(name: str) -> Entry | None:
    """Return the command of that name: an entry point's before the table's own."""
    known = next((entry for entry in CATALOGUE if entry.name == name), None)
    if known is not None and known.section != _SERVICES:
        return known
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=name):
        extra = known.extra if known else None
        return Entry(name, known.help if known else "", point.value, _SERVICES, extra)
    return known


def overview() -> str:
    """Return the text of `headway --help`."""
    lines = [
        "Usage: headway COMMAND [OPTIONS]",
        "",
        "Headway coordinates pipelines across tools, environments and teams.",
    ]
    for section in dict.fromkeys(entry.section for entry in CATALOGUE):
        lines += ["", f"{section}:"]
        lines += [f"  {e.name:<12} {e.help}" for e in CATALOGUE if e.section == section]
    return "\n".join([*lines, "", *_ENDING])


_ENDING = (
    "Options:",
    "  --version             Show the version.",
    "  --install-completion  Install completion for this shell.",
    "  --show-completion     Show the completion script of this shell.",
    "  -h, --help            Show this text; `headway COMMAND --help` tells more.",
    "",
    "With --json a command prints one JSON document. HEADWAY_API_URL and HEADWAY_TOKEN say where",
    "it asks and as whom; without them it asks the stack that `headway up` started here.",
)
