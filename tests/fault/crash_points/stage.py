"""A cluster on which one process after another dies at a crash point and is started again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.client import Client
from headway.crash_points import STATUS, CrashAt, Process
from headway.errors import UnavailableError
from headway_coordinator.raising import make_token
from tests.fault.crash_points.checks import violations
from tests.integration.cluster import Cluster
from tests.servers.processes import Child
from tests.servers.waiting import wait_until

# Leases short enough to be waited for; the ratios are those of the defaults, more or less.
SHORT = {
    "HEADWAY_LEASE_TERM": "1.5",
    "HEADWAY_WORKER_LEASE": "6",
    "HEADWAY_HEARTBEAT": "0.5",
    "HEADWAY_CLAIM_DEADLINE": "1",
}
SLOTS = 4
FORMER_KEY = "the key before the present one"
TEAM = "demo"
RUNS = 2
_EFFECTS = """
import os, pathlib, threading

def note(trace, gate):
    who = " ".join(os.environ["HEADWAY_" + part] for part in ("RUN", "STEP", "ATTEMPT"))
    with open(trace, "a") as file:
        file.write(who + " start\\n")
    while not pathlib.Path(gate).exists():
        threading.Event().wait(0.05)
    with open(trace, "a") as file:
        file.write(who + " end\\n")
"""
_NOTE = """
      who="$HEADWAY_RUN $HEADWAY_STEP $HEADWAY_ATTEMPT"
      echo "$who start" >> "$TRACE"
      until test -e "$GATE"; do sleep 0.05; done
      echo "$who end" >> "$TRACE"
"""

_READY: Mapping[Process, str] = {
    "api": "api_started",
    "engine": "engine_started",
    "worker": "worker_ready",
}

Wish = Callable[[], Any]


class Stage:
    """An API, an engine and a worker; one of them at a time dies as it is told to.

    Every step notes its start and its end in `trace`, and waits in between until `gate` exists.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.trace = folder / "trace"
        self.gate = folder / "open"
        self.gate.touch()
        self.children: dict[Process, Child] = {}
        self.runs: list[str] = []
        self.by_events = 0  # runs that the story has started besides, itself or by an event
        self._wishes: list[Wish] = []
        self._number = 0
        (folder / "effects.py").write_text(_EFFECTS)

    def open(self) -> None:
        """Start the processes and store the pipeline."""
        for process in ("engine", "worker", "api"):
            self.start(process, awaited=process == "api")
        for process, child in self.children.items():
            child.wait_for_output(_READY[process])
        self.cluster.apply(self.definition("crash", team=TEAM))

    # --- processes -------------------------------------------------------------------------------

    def start(self, process: Process, at: CrashAt | None = None, *, awaited: bool = True) -> Child:
        """Start a process; one that is to die is not awaited, as it may die before it is ready."""
        awaited = awaited and at is None
        env = {} if at is None else {"HEADWAY_CRASH_AT": str(at)}
        match process:
            case "api":
                env["HEADWAY_FORMER_SECRET_KEYS"] = FORMER_KEY
                child = self.cluster.start_api(awaited=awaited, **env)
            case "engine":
                child = self.cluster.start_engine(**env)
            case "worker":
                child = self.cluster.start_worker(TEAM, slots=SLOTS, **env)
        self.children[process] = child
        if awaited:
            child.wait_for_output(_READY[process])
        return child

    def stop(self, process: Process) -> None:
        """End a process in good order, if it runs."""
        child = self.children[process]
        if child.running:
            assert child.stop() == 0, child.output()[-4000:]

    def retire(self, process: Process) -> None:
        """Make room for the process that is to die, as quickly as that goes.

        An engine gives its lease back meanwhile; API and worker have a port or a folder to free.
        """
        if process == "engine":
            self.children[process].send(signal.SIGTERM)
        else:
            self.kill(process)

    def kill(self, process: Process) -> None:
        """End a process at once, as a fault would; what it started has to end by itself."""
        self.children[process].send(signal.SIGKILL)
        self.children[process].wait()

    # --- one death -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Forget the last case: two new runs are wished for, behind an open gate."""
        self._number += 1
        self.gate = self.folder / f"gate-{self._number}"
        self.gate.touch()
        self.runs = []
        self.by_events = 0
        self._wishes = [self._run(f"{self._number}-{each}") for each in range(RUNS)]

    def wish(self, wish: Wish) -> None:
        """Ask for something before the runs; it is asked again until it is answered."""
        self._wishes.insert(0, wish)

    def ask(self) -> bool:
        """Ask the API for what was not answered yet; say whether all is."""
        while self._wishes:
            try:
                self._wishes[0]()
            except UnavailableError:
                return False
            self._wishes.pop(0)
        return True

    def die(self, child: Child, at: CrashAt) -> None:
        """Go on asking until the process has died at its crash point and nowhere else."""

        def died() -> bool:
            self.ask()
            return not child.running

        wait_until(died, within=40, what=f"the death at {at}")
        assert child.exit_status == STATUS, child.output()[-4000:]
        assert f"crash point {at}" in child.output()

    def end(self) -> None:
        """Wait until all that was asked for has come to its end, and look at what is left."""
        wait_until(self.ask, what="an answer to every request")
        assert len(self.runs) == RUNS + self.by_events
        left: list[str] = []

        storage = self.cluster.storage
        wait_until(
            lambda: not storage.inbox.pending() and not storage.runs.open_ids(),
            within=60,
            what="the end of every run",
        )

        def settled() -> bool:
            left[:] = violations(storage, self.runs, self.trace)
            return not left

        try:
            wait_until(settled, within=10, what="an end in good order")
        finally:
            assert not left, left

    def lost(self) -> list[str]:
        """Return the attempts of this case that had to be made again through no fault of theirs."""
        shown = [self.cluster.show(run) for run in self.runs]
        attempts = [a for run in shown for step in run["steps"] for a in step["attempts"]]
        return [str(a["id"]) for a in attempts if a["state"] == "lost"]

    def close(self) -> None:
        """End all in good order; nothing may be left to be reported."""
        self.stop("worker")
        self.children["engine"].send(signal.SIGTERM)
        self.stop("api")
        assert self.children["engine"].wait() == 0, self.children["engine"].output()[-4000:]
        spooled = list(self.folder.glob("worker/worker-*/spool/*.log"))
        assert not spooled, "completions that the coordinator has not acknowledged"

    # --- what stories need -----------------------------------------------------------------------

    def definition(
        self,
        name: str,
        *,
        team: str,
        runbook: str = "https://example.com/",
        hears: str | None = None,
        notify: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Return a pipeline with steps beside each other, a join, a retry, items, and a file.

        It is started by events of the type `hears` too, if that is given. Its runs' ends are told
        to `notify`.
        """
        given = {"params": {"gate": str(self.gate)}}
        triggers = [] if hears is None else [{"event": {"type": hears}, **given}]
        env = f'{{TRACE: "{self.trace}", GATE: "${{{{ params.gate }}}}"}}'
        handed = f'{{trace: "{self.trace}", gate: "${{{{ params.gate }}}}"}}'
        return f"""
headway: 1
pipeline: {name}
team: {team}
owner: crash@example.com
runbook: {runbook}
code: {{path: {self.folder}}}
params: {{gate: {{type: string}}}}
triggers: {json.dumps(triggers)}
notify: {json.dumps(list(notify))}
steps:
  left:
    env: {env}
    run: |{_NOTE}
      echo data > "$HEADWAY_WORKDIR/left.txt"
    artifacts: [left.txt]
  right: {{python: "effects:note", with: {handed}}}
  again:
    env: {env}
    run: |{_NOTE}
      test "$HEADWAY_ATTEMPT" -gt 1
    retry: {{max: 3, delay: 100ms}}
  each:
    foreach: [one, two, three]
    max_parallel: 2
    env: {env}
    run: |{_NOTE}
  join:
    needs: [left, right, again, each]
    env: {env}
    run: |{_NOTE}
      cat "$HEADWAY_INPUTS/left/left.txt"
    inputs: {{left: "${{{{ steps.left.artifacts }}}}"}}
"""

    def close_gate(self) -> None:
        """Let the steps of this case wait until the gate is opened."""
        self.gate.unlink()

    def hold(self) -> None:
        """Start the runs now, and wait until every slot has a step that waits at the gate."""
        self.close_gate()
        wait_until(self.ask, what="the runs")
        wait_until(lambda: len(self._noted("start")) >= SLOTS, what="steps that wait at the gate")

    def spooled(self) -> bool:
        """Say whether as many completions as there are slots lie in the worker's spool."""
        files = self.folder.glob("worker/worker-*/spool/*.log")
        return sum(file.read_bytes().count(b"\n") for file in files) >= SLOTS

    def renew_client(self) -> None:
        """Sign in anew, with a token that nobody has used yet."""
        self.cluster.client.close()
        token = make_token(self.cluster.storage, subject="tester", role="admin", team=None)
        self.cluster.client = Client([self.cluster.api_url], token)

    def _noted(self, what: str) -> list[str]:
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [line for line in lines if line.split()[0] in self.runs and line.endswith(what)]

    def _run(self, key: str) -> Wish:
        def start() -> None:
            # The gate's name is part of the request, so it is the same whenever that is repeated.
            started = self.cluster.client.start_run(
                "crash", team=TEAM, params={"gate": str(self.gate)}, key=key
            )
            self.runs.append(started["id"])

        return start
