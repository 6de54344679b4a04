"""The mutants: an exact text of the source, and the defect that takes its place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """In `file`, the one occurrence of `before` becomes `after`."""

    name: str
    file: str
    before: str
    after: str


def _in(file: str, *mutants: tuple[str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, file, before, after) for name, before, after in mutants)


ADVANCE = _in(
    "engine/advance.py",
    (
        "an old attempt ends the new one",
        "or step.live is None or step.live.id != attempt or",
        "or step.live is None or",
    ),
    ("the fence is not looked at", " or step.live.fence != fence:", ":"),
    (
        "one retry too many",
        "if failures > planned.retry.max or",
        "if failures > planned.retry.max + 1 or",
    ),
    (
        "one retry too few",
        "if failures > planned.retry.max or",
        "if failures >= planned.retry.max or",
    ),
    ("a cancelling run tries again", "max or stopping(draft, step):", "max:"),
    ("one loss too many", "elif losses > LOSS_LIMIT:", "elif losses > LOSS_LIMIT + 1:"),
    (
        "a lost step starts again in a cancelling run",
        "    if stopping(draft, step):\n        draft.end(step, StepStatus.CANCELLED,",
        "    if False:\n        draft.end(step, StepStatus.CANCELLED,",
    ),
    ("a loss is not counted", "losses = step.losses + 1", "losses = step.losses"),
    (
        "attempt numbers do not grow",
        "    no = step.attempts + 1\n",
        "    no = step.attempts or 1\n",
    ),
    (
        "an answer nobody waits for is taken",
        "if planned is None or not awaits_condition(draft.state, planned):",
        "if planned is None or draft.steps[planned.key].status is not StepStatus.PENDING:",
    ),
    (
        "an old expression error fails a pending step",
        "READY and not waits:",
        "READY and step.status is not StepStatus.PENDING:",
    ),
    ("the answer is turned round", "    if event.value:\n", "    if not event.value:\n"),
    (
        "a timer fires early",
        "step.due_at is None or draft.now < step.due_at:",
        "step.due_at is None:",
    ),
    ("the deadline comes early", " or draft.now < draft.run.deadline_at:", ":"),
    (
        "the deadline cancels",
        "return cancel(draft, RunStatus.TIMED_OUT,",
        "return cancel(draft, RunStatus.CANCELLED,",
    ),
    ("a dispatched step is asked for again and again", "RUNNING, due_at=None)", "RUNNING)"),
    (
        "a claimed step is stopped by its queue timeout",
        '"queue_timeout", running=False',
        '"queue_timeout", running=True',
    ),
    (
        "a withdrawn step is always cancelled",
        'if event.reason == "queue_timeout":',
        'if event.reason == "":',
    ),
    (
        "a retry waits longer than its cap",
        "delay = min(retry.delay, retry.cap)",
        "delay = retry.delay",
    ),
    (
        "a timeout looks like a failure",
        '"timed_out" if event.outcome == "timed_out" else',
        '"failed" if event.outcome == "timed_out" else',
    ),
    ("outputs are forgotten", "outputs=event.outputs, ", ""),
    ("the lease's end is forgotten", "            event.expired,\n", ""),
)

CANCELLING = _in(
    "engine/cancelling.py",
    (
        "a cancel comes twice",
        "if run.status is RunStatus.CANCELLING and not in_finally and not again:",
        "if False:",
    ),
    (
        "a forced cancel runs finally",
        "if force and not in_finally:",
        "if False:",
    ),
    (
        "a forced cancel is patient",
        "spared = timedelta() if force else grace",
        "spared = grace",
    ),
    (
        "a cancel skips what is not the first part",
        "if planned.final is not in_finally or",
        "if planned.final is in_finally or",
    ),
    (
        "a cancel ends live steps itself",
        "        if step.live is not None:\n            live.append",
        "        if step.live is None:\n            live.append",
    ),
    ("a cancel keeps the deadline", '"deadline_at": None, ', ""),
    (
        "a cancel forgets the items that run",
        "            found += [c for c in children if _is_started(c)]\n",
        "            pass\n",
    ),
)

DISPLACING = _in(
    "engine/displacing.py",
    ("a race has no end", "if planned.cancels and", "if False and"),
    ("what has ended is skipped", "if step.terminal or is_asked_for(step):", "if False:"),
    (
        "a winner that failed keeps the others out",
        "return draft.steps[by].status is",
        "return True or draft.steps[by].status is",
    ),
)

FOREACH = _in(
    "engine/foreach.py",
    ("enough is one more", "children[step.key].ok >= enough", "children[step.key].ok > enough"),
    ("what is stopped is tried again", " or parent.reason == ENOUGH:", ":"),
    (
        "a cancelled run has enough",
        "if step.reason == ENOUGH and not cancelled:",
        "if step.reason == ENOUGH:",
    ),
    (
        "what is cancelled in finally may try again",
        "return step.reason == STOP_ASKED or not",
        "return not",
    ),
    (
        "one more item may fail",
        "elif children.bad > foreach.tolerated(items):",
        "elif children.bad > foreach.tolerated(items) + 1:",
    ),
    ("all items start at once", "if room <= 0:", "if False:"),
    (
        "other items keep what was done",
        "        _begin_anew(draft, step, len(event.items))\n",
        "        pass\n",
    ),
    (
        "a step ends while an item runs",
        "if children.open or by_hand(",
        "if by_hand(",
    ),
)

RECOVERY = _in(
    "engine/recovery.py",
    (
        "a retry repeats what succeeded",
        "again = planned.final or step.status is not StepStatus.SUCCEEDED",
        "again = True",
    ),
    ("a retry repeats what is not needed", "if displaced(draft, step):", "if False:"),
    (
        "a mark takes a step's cause away",
        "kept = by_hand or _is_followed(state, key)",
        "kept = by_hand",
    ),
    ("a retry leaves finally alone", "again = planned.final or step", "again = step"),
    (
        "a running run is retried",
        "if run.status not in RUN_REOPENED:",
        "if run.status is RunStatus.SUCCEEDED:",
    ),
    (
        "a retry does not look at the steps",
        "    if draft.run.status is RunStatus.RUNNING:\n        begin(draft)\n    return None",
        "    return None",
    ),
    ("a retry forgets the items", "draft.reopen_children(step, done=planned.final)", "pass"),
)

DRAFT = _in(
    "engine/draft.py",
    (
        "illegal moves are let through",
        "if status not in STEP_MOVES[step.status] and status is not step.status:",
        "if False:",
    ),
    (
        "illegal moves of a run are let through",
        "if status not in RUN_MOVES[run.status]:",
        "if False:",
    ),
    (
        "an ended step keeps its attempt",
        "self.move(step, status, live=None, due_at=None,",
        "self.move(step, status, due_at=None,",
    ),
    (
        "dependents are not looked at",
        "            return\n        self.touched.extend(self.plan.dependents.get(step.key, ()))\n",
        "            return\n",
    ),
    (
        "a reopened step counts its attempts from zero",
        "again = Step(step.key, attempts=step.attempts, ",
        "again = Step(step.key, ",
    ),
    ("the draft writes to the state", "self._state = state.overlay()", "self._state = state"),
    (
        "a condition is asked for twice",
        "return Decision(tuple(self._changes), tuple(self._effects))",
        "return Decision(tuple(self._changes), tuple([*self._effects] * 2))",
    ),
    (
        "the queue timeout is lost",
        "return self.now + planned.queue_timeout if planned.queue_timeout and waits else None",
        "return None",
    ),
)

SETTLE = _in(
    "engine/settle.py",
    ("finally starts with the rest", "return started and state.open_main == 0", "return started"),
    (
        "a cancelling run starts steps",
        "    return status is RunStatus.RUNNING\n",
        "    return True\n",
    ),
    ("the run ends before finally", "    if draft.open_final:\n", "    if False:\n"),
    (
        "finally never starts",
        "    draft.touched.extend(s.key for s in finals)\n    return True\n",
        "    return False\n",
    ),
    (
        "finally steps come in reverse",
        "reversed(draft.plan.steps))][::-1]",
        "reversed(draft.plan.steps))]",
    ),
    (
        "a settled run does not end",
        "is RunStatus.QUEUED or draft.open_main:",
        "is RunStatus.QUEUED or True:",
    ),
    ("an allowed failure fails the run", " and not planned.allow_failure:", ":"),
    (
        "a cancelled step lets the run succeed",
        "in (StepStatus.FAILED, StepStatus.CANCELLED) and not planned",
        "in (StepStatus.FAILED,) and not planned",
    ),
    ("the verdict forgets who stopped the run", "if run.verdict is not None:", "if False:"),
    (
        "conditions are not asked for",
        "case Ruling.RUN if planned.condition is not None:",
        'case Ruling.RUN if planned.condition == "":',
    ),
    (
        "a new leader asks for all conditions",
        "return ruling is Ruling.RUN and _may_start",
        "return _may_start",
    ),
    (
        "settling walks the main steps",
        "[*takewhile(lambda s: s.final, reversed(draft.plan.steps))][::-1]",
        "[s for s in draft.plan.steps if s.final]",
    ),
)

STATE = _in(
    "engine/state.py",
    (
        "an overlay shares its steps",
        "            Layer(self.steps),\n",
        "            self.steps,\n",
    ),
    (
        "an overlay shares its tallies",
        "            Layer(self.tallies),\n",
        "            self.tallies,\n",
    ),
    ("reopening does not count back", "counted[tally_field(planned, before.status)] = -1", "pass"),
    (
        "skipped counts as succeeded",
        '            return "skipped"\n',
        '            return "succeeded"\n',
    ),
    (
        "an allowed failure counts as one",
        'return "succeeded" if planned.allow_failure else "failed"',
        'return "failed"',
    ),
    (
        "the end of finally counts for the main steps",
        "    if planned.final:\n        state.open_final -= change",
        "    if not planned.final:\n        state.open_final -= change",
    ),
)

RULES = _in(
    "engine/rules.py",
    (
        "a skip does not cascade",
        "    return Ruling.SKIP if skipped else None\n",
        "    return None\n",
    ),
    ("upstream_failed counts as done for any_done", "if ok or tally.failed:", "if ok or bad:"),
    (
        "any_failed does not wait",
        "            return Ruling.SKIP if all_done else Ruling.WAIT\n        case When.ANY_DONE:",
        "            return Ruling.SKIP\n        case When.ANY_DONE:",
    ),
    (
        "none_skipped runs early",
        "return Ruling.SKIP if skipped else _run_if(all_done)",
        "return Ruling.SKIP if skipped else Ruling.RUN",
    ),
)

ADMISSION = (
    *_in(
        "admission/backlog.py",
        ("a stale entry is admitted", "if waits(entry) and (", "if ("),
        ("an entry is admitted twice", " and (not taken or taken[-1] != entry):", ":"),
        ("one more than there is room", "len(taken) < room:", "len(taken) <= room:"),
        ("no heap", "entry = heapq.heappop(heap)", "entry = heap.pop()"),
        ("queues in any order", "yield from sorted(self._queues)", "yield from self._queues"),
    ),
    *_in(
        "admission/window.py",
        (
            "room below nothing",
            "return max(0, self.size - self.unclaimed)",
            "return self.size - self.unclaimed",
        ),
        (
            "an overfull worker takes from the others",
            "max(0, worker.slots - worker.running)",
            "worker.slots - worker.running",
        ),
        ("windows in any order", "in sorted({*slots, *unclaimed})", "in {*slots, *unclaimed}"),
        (
            "a float rounds one down to none",
            "slots * _LOOKAHEAD // median",
            "int(slots * (_LOOKAHEAD / median))",
        ),
        (
            "a short step looks further ahead",
            "if median is None or median <= _LOOKAHEAD:",
            "if median is None:",
        ),
    ),
)

MUTANTS = (
    *ADVANCE,
    *CANCELLING,
    *DISPLACING,
    *FOREACH,
    *RECOVERY,
    *DRAFT,
    *SETTLE,
    *STATE,
    *RULES,
    *ADMISSION,
)
