"""Transcripts: files of commands and of what came of them, replayed against a `World`.

`$ command words` is a command, `| text` below it its input, every other line what it must answer.
Blank lines and lines that begin with `#` are for people.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headway.expressions.durations import parse_duration
from headway.protocol.messages import Dispatch, Sealed
from tests.scenario.worker import TEAM
from tests.scenario.world import World


@dataclass
class Block:
    """Either what people read, or a command with its input and answer."""

    prose: list[str] = field(default_factory=list)
    command: str | None = None
    given: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)


def blocks(text: str) -> Iterator[Block]:
    """Yield the transcript's parts in order."""
    current: Block | None = None
    prose: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if current:
                yield current
            current = Block(prose, line[2:])
            prose = []
        elif not line.strip() or line.startswith("#"):
            prose.append(line)
        elif current is None or prose:
            raise ValueError(f"an answer without its command: {line!r}")
        elif line.startswith("| "):
            current.given.append(line[2:])
        else:
            current.answer.append(line)
    if current:
        yield current
    if prose:
        yield Block(prose)


def replay(text: str, world: World) -> str:
    """Return the transcript with what the world answers.

    Raises:
        AssertionError: an invariant was broken, with the transcript up to there.
    """
    lines: list[str] = []
    stage = Stage(world)
    for block in blocks(text):
        lines += block.prose
        if block.command is None:
            continue
        lines += [f"$ {block.command}", *(f"| {line}" for line in block.given)]
        lines += stage.perform(block.command, block.given)
        problems = world.check()
        if problems:
            raise AssertionError("\n".join([*lines, *(f"BROKEN: {p}" for p in problems)]))
    return "\n".join(lines) + "\n"


class Stage:
    """Performs commands; each method named `do_…` is one."""

    def __init__(self, world: World) -> None:
        self.world = world

    def perform(self, command: str, given: list[str]) -> list[str]:
        """Return the lines that the command answers."""
        words = shlex.split(command)
        plain = [w for w in words[1:] if "=" not in w]
        named = dict(w.split("=", 1) for w in words[1:] if "=" in w)
        method: Callable[..., None] = getattr(self, f"do_{words[0]}")
        self.world.out.clear()
        if given:
            named["given"] = "\n".join(given)
        method(*plain, **named)
        return list(self.world.out)

    # --- people ----------------------------------------------------------------------------------

    def do_define(self, given: str) -> None:
        self.world.define(given)

    def do_run(self, id: str, pipeline: str, by: str = "ann", **params: str) -> None:
        self.world.request_run(id, pipeline, params, by)

    def do_cancel(self, run: str, by: str = "bob", reason: str | None = None) -> None:
        self.world.ask(run, "cancel", {"reason": reason}, by)

    def do_retry(self, run: str, by: str = "bob") -> None:
        self.world.ask(run, "retry", {}, by)

    def do_clear(self, run: str, *steps: str, by: str = "bob", only: str = "") -> None:
        self.world.ask(run, "clear", {"steps": steps, "only": bool(only)}, by)

    def do_mark(self, run: str, state: str, *steps: str, by: str = "bob", force: str = "") -> None:
        body = {"steps": steps, "state": state, "force": bool(force), "reason": "so it is"}
        self.world.ask(run, "mark", body, by)

    def do_hold(self, run: str, by: str = "bob") -> None:
        self.world.ask(run, "pause", {"reason": "the source is down"}, by)

    def do_release(self, run: str, by: str = "bob") -> None:
        self.world.ask(run, "resume", {}, by)

    def do_inbox(self, run: str, kind: str, given: str) -> None:
        """Put a raw row into the inbox."""
        self.world.ask(run, kind, json.loads(given), "mallory")

    # --- workers ---------------------------------------------------------------------------------

    def do_worker(self, name: str, slots: str = "2", classes: str = "default") -> None:
        self.world.add_worker(name, int(slots), classes.split(","))

    def do_take(self, worker: str, limit: str = "100") -> None:
        self.world.take(self.world.workers[worker], int(limit))

    def do_claim(self, worker: str, name: str, **other: str) -> None:
        """Claim without a message: again, late, or with things that are not so."""
        attempt, queue, fence = self.world.attempt(name)
        dispatch = Dispatch(
            team=TEAM,
            run=name.partition("/")[0],
            step="x",
            attempt=attempt,
            fence=int(other.get("fence", fence)),
            dispatch_no=1,
            queue=other.get("queue", queue),
        )
        what = self.world.workers[worker].claim(
            [dispatch], self.world.clock.now(), boot=other.get("boot")
        )
        self.world.tell(f"{worker} claims {name}: {what[0]}")

    def do_finish(
        self, worker: str, name: str, outcome: str = "succeeded", via: str = "queue", **said: str
    ) -> None:
        """End an attempt; its completion goes by `queue`, `http`, `both`, or stays (`none`)."""
        outputs = {key: json.loads(value) for key, value in said.items() if key != "reason"}
        attempt, _, _ = self.world.attempt(name)
        told: dict[str, Any] = {
            "outcome": outcome,
            "outputs": outputs,
            "reason": said.get("reason"),
        }
        sealed = self.world.workers[worker].complete(attempt, told, self.world.clock.now())
        self._send(sealed, via)

    def do_send(self, worker: str, name: str, via: str = "queue", mac: str | None = None) -> None:
        """Send the completion that the worker still keeps, once more or forged."""
        attempt, _, _ = self.world.attempt(name)
        kept = self.world.workers[worker].unacknowledged.get(attempt)
        if kept is None:
            self.world.tell(f"{worker} has it no more")
            return
        sealed = kept[1]
        if mac is not None:
            sealed = Sealed(body=sealed.body, mac=mac * 64)
        self._send(sealed, via)

    def do_post(self, given: str) -> None:
        """Send by HTTP what is no completion."""
        self.world.post(Sealed(body=given, mac="0" * 64))

    def _send(self, sealed: Sealed, via: str) -> None:
        if via in ("queue", "both"):
            self.world.broker.events.append(sealed)
        if via in ("http", "both"):
            self.world.post(sealed)

    def do_beat(self, worker: str) -> None:
        self.world.beat(self.world.workers[worker])

    def do_silence(self, worker: str) -> None:
        """The worker cannot be heard any more: its network is gone, or it is dead."""
        self.world.workers[worker].silent = True

    def do_unsilence(self, worker: str) -> None:
        self.world.workers[worker].silent = False

    def do_restart(self, worker: str) -> None:
        self.world.workers[worker].restart()

    # --- surroundings ----------------------------------------------------------------------------

    def do_broker(self, what: str) -> None:
        broker = self.world.broker
        match what:
            case "lost" | "doubled" | "reversed":
                broker.next_publish = what
            case "flush":
                broker.flush()
            case "down" | "up":
                broker.reachable = what == "up"
            case "redelivers":
                broker.redelivers = True
            case "hold" | "release":
                broker.held = what == "hold"
            case _:
                raise ValueError(what)

    def do_database(self, what: str, who: str | None = None) -> None:
        """The database is `away` or `back`, for everybody or for one coordinator."""
        for name, coordinator in self.world.coordinators.items():
            if who in (None, name):
                coordinator.storage.away = what == "away"
        if who is None:
            self.world.api.away = what == "away"

    def do_api(self, what: str) -> None:
        self.world.api_up = what == "up"
        for coordinator in self.world.coordinators.values():
            coordinator.watch.set_api(self.world.api_up)

    def do_sql(self, given: str) -> None:
        """Change the rows behind everybody's back."""
        self.world.rows(given)
        self.world.tampered = True

    # --- coordinators ----------------------------------------------------------------------------

    def do_start(self, name: str, ahead: str = "0s") -> None:
        self.world.start(name, parse_duration(ahead))

    def do_stop(self, name: str) -> None:
        """End in good order."""
        self.world.stop(name)

    def do_kill(self, name: str) -> None:
        self.world.coordinators[name].alive = False

    def do_pause(self, name: str) -> None:
        self.world.coordinators[name].paused = True
        self.world.coordinators[name].clock.pause()

    def do_resume(self, name: str) -> None:
        self.world.coordinators[name].paused = False
        self.world.coordinators[name].clock.resume()

    def do_fetch(self, name: str) -> None:
        """Let the coordinator's consumer receive what there is, and no more."""
        self.world.coordinators[name].events.fetch()

    def do_fault(self, name: str, what: Any) -> None:
        self.world.coordinators[name].storage.fault = what

    def do_race(self, name: str, *command: str, **named: str) -> None:
        """Let the command happen just before the coordinator's next transaction begins."""
        method: Callable[..., None] = getattr(self, f"do_{command[0]}")
        coordinator = self.world.coordinators[name]
        coordinator.storage.race = lambda: method(*command[1:], **named)

    # --- time and looking ------------------------------------------------------------------------

    def do_go(self, *names: str) -> None:
        self.world.work(*names)

    def do_wait(self, length: str) -> None:
        self.world.wait(parse_duration(length))

    def do_skip(self, length: str) -> None:
        """Time passes and nobody does anything."""
        self.world.clock.advance(parse_duration(length))

    def do_show(self, run: str) -> None:
        stored = self.world.storage.runs.load([run])[0]
        reason = f" ({stored.run.reason})" if stored.run.reason else ""
        quarantine = f" QUARANTINED: {stored.quarantine}" if stored.quarantine else ""
        self.world.tell(f"{run} {stored.run.status}{reason}{quarantine}")
        ordered = "SELECT step, no, state FROM attempt WHERE run_id = :run ORDER BY step, no"
        tried: dict[str, list[str]] = {}
        for row in self.world.rows(ordered, run=run):
            tried.setdefault(row["step"], []).append(f".{row['no']} {row['state']}")
        for step in stored.steps:
            reason = f" ({step.reason})" if step.reason else ""
            attempts = f" [{', '.join(tried[step.key])}]" if step.key in tried else ""
            outputs = f" {json.dumps(step.outputs)}" if step.outputs else ""
            self.world.tell(f"  {step.key} {step.status}{reason}{attempts}{outputs}")

    def do_queues(self) -> None:
        for queue, messages in sorted(self.world.broker.queues.items()):
            labels = ", ".join(self.world.broker.label(m) for m in messages)
            self.world.tell(f"{queue}: {labels or 'empty'}")

    def do_entries(self) -> None:
        for row in self.world.rows("SELECT * FROM inbox ORDER BY id"):
            state = "pending" if row["applied_at"] is None else row["result"]
            self.world.tell(f"{row['kind']} {row['run']} by {row['actor']}: {state}")

    def do_work(self, name: str) -> None:
        """Show what a claim of the attempt is given."""
        attempt, _, _ = self.world.attempt(name)
        row = self.world.rows("SELECT work FROM attempt WHERE id = :id", id=attempt)[0]
        work = json.loads(row["work"])
        for key in ("body", "inputs", "timeout_ms", "no"):
            value = work.get(key)
            if key == "body":
                value = {k: v for k, v in value.items() if v}
            self.world.tell(f"{key}: {json.dumps(value)}")
