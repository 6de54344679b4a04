"""One attempt from its dispatch to its report: claim, resolve, perform, normalise, spool, report.

No Celery here: the task calls `Attempts.handle` with a parsed dispatch, in a pool thread.
"""

from __future__ import annotations

import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from headway.backoff import exponential
from headway.clock import Clock
from headway.errors import HeadwayError, UnavailableError
from headway.protocol.messages import (
    ArtifactRef,
    Claim,
    ClaimAnswer,
    Completion,
    Dispatch,
    Outcome,
    Sealed,
    StepError,
    Work,
)
from headway.protocol.proof import seal
from headway.refusals import Refusal, Refusals
from headway_worker.artifacts import ArtifactError, ArtifactTransfer
from headway_worker.claims import Claims
from headway_worker.environment import step_environment
from headway_worker.executors.contract import Context, Done, Executor, Failed, Lost, Result
from headway_worker.identity import Identity
from headway_worker.journal import Journal
from headway_worker.logs import AttemptLog, LogShipper
from headway_worker.outputs import OutputError, check, ensure_size
from headway_worker.redaction import Redactor
from headway_worker.reporter import Reporter
from headway_worker.roster import Roster
from headway_worker.runner.process import GRACE_SECONDS
from headway_worker.scratch import Scratch, ScratchFolders
from headway_worker.secrets import MissingSecretError, filled
from headway_worker.spool import Entry, Spool
from headway_worker.stop import Stop, StopReason

_LOG_FLUSH_SECONDS = 2.0
_TRANSFER_PATIENCE_SECONDS = 60.0
_LONGEST_PAUSE = timedelta(seconds=5)
_REMEMBERED = 10_000  # far more than can end here while nobody applies it
# Whoever has no room keeps what it was sent for a moment: it must not be the quickest taker.
_ROOM_SECONDS = 2.0
T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ports:
    """What an attempt needs of the worker around it."""

    claims: Claims
    refusals: Refusals
    executors: Mapping[str, Executor]
    roster: Roster
    journal: Journal
    logs: LogShipper
    spool: Spool
    reporter: Reporter
    transfer: Callable[[Claim, str, Redactor], ArtifactTransfer]
    identity: Identity
    clock: Clock
    scratch: ScratchFolders
    base_env: Mapping[str, str]
    code: Path


@dataclass(frozen=True, slots=True)
class _Ended:
    """How the attempt ended, normalised: the completion without its frame."""

    outcome: Outcome
    reason: str | None = None
    exit_code: int | None = None
    error: StepError | None = None
    outputs: Mapping[str, object] | None = None
    artifacts: tuple[ArtifactRef, ...] = ()


class Attempts:
    """Handles dispatches; called from many pool threads."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._performed: OrderedDict[str, None] = OrderedDict()

    def handle(self, dispatch: Dispatch) -> None:
        """Run the dispatched attempt if its claim is won; return once its report is on disk."""
        if self._was_performed(dispatch.attempt):
            # A claim is answered the same again until the coordinator has applied the end, which
            # may be long after it took the report.
            why = f"the attempt {dispatch.attempt} was performed here"
            self._ports.refusals.refuse(Refusal.REPEATED, why)
            return
        if not self._ports.spool.wait_for_room(_ROOM_SECONDS):
            _log.error("claim_refused_here", attempt=dispatch.attempt, code="spool_full")
            return
        # Noted first: a worker that dies before it hears of a won claim can say so when it is back.
        self._ports.journal.begin(dispatch.attempt, dispatch.fence)
        try:
            self._claim(dispatch)
        finally:
            self._ports.journal.end(dispatch.attempt)

    def _claim(self, dispatch: Dispatch) -> None:
        claim = Claim(
            attempt=dispatch.attempt,
            fence=dispatch.fence,
            dispatch_no=dispatch.dispatch_no,
            queue=dispatch.queue,
        )
        answered = self._ports.claims.claim(claim)
        if answered is None:
            return
        answer = answered.answer
        if not answer.won or answer.work is None or answer.token is None:
            why = f"the attempt {claim.attempt} cannot be claimed: {answer.reason}"
            self._ports.refusals.refuse(Refusal.STALE, why)
            return
        stop = self._ports.roster.hold(
            claim.attempt, claim.fence, answered.asked_at, answered.lease
        )
        try:
            self._run(claim, answer, answer.work, answer.token, stop)
        finally:
            self._performed[claim.attempt] = None
            while len(self._performed) > _REMEMBERED:
                self._performed.popitem(last=False)

    def _was_performed(self, attempt: str) -> bool:
        return attempt in self._performed or self._ports.spool.get(attempt) is not None

    def _run(self, claim: Claim, answer: ClaimAnswer, work: Work, token: str, stop: Stop) -> None:
        ports = self._ports
        redactor = Redactor(answer.secrets.values())
        log = ports.logs.open(claim.attempt, claim.fence, redactor)
        started_at = ports.clock.now()
        with structlog.contextvars.bound_contextvars(run=work.run, attempt=claim.attempt):
            try:
                if answer.failure is None:
                    ended = self._perform(claim, filled(work, answer.secrets), token, stop, log)
                else:
                    ended = _Ended(Outcome.FAILED, error=answer.failure)
            except MissingSecretError as error:
                ended = _failed("secret_missing", str(error))
            except Exception as error:  # the edge of an attempt: its worker must live on
                _log.error("attempt_broke", story=redactor.text(traceback.format_exc()))
                ended = _failed("internal", f"{type(error).__name__}: {error}")
            ended = _redacted(ended, redactor)
            log_bytes = ports.logs.close(log, _LOG_FLUSH_SECONDS)
            if stop.reason is not StopReason.DISOWNED:
                completion = self._completion(claim, work, ended, started_at, log_bytes)
                ports.reporter.report(_sealed(completion, token))
                tell = _log.debug if ended.outcome is Outcome.SUCCEEDED else _log.info
                tell("attempt_ended", step=work.step, outcome=str(ended.outcome))
            ports.roster.release(claim.attempt)

    def _perform(self, claim: Claim, work: Work, token: str, stop: Stop, log: AttemptLog) -> _Ended:
        executor = self._ports.executors.get(work.kind)
        if executor is None:
            return _failed("unknown_kind", f"this worker has no executor for {work.kind} steps")
        transfer = self._ports.transfer(claim, token, log.redactor)
        with self._ports.scratch.folder() as folders:
            self._ports.journal.settled(claim.attempt, str(folders.work))
            try:
                context = self._context(claim, work, folders, stop, log)
                self._patiently(stop, lambda: transfer.place(work.inputs, folders.inputs))
                result = executor.perform(work, context)
                return self._normalised(result, work, context, folders, transfer)
            except (ArtifactError, OutputError) as error:
                return _stopped(stop, work) or _failed(error.code, str(error))
            except UnavailableError as error:
                # Not the step's doing: its retries are not spent on it.
                return _stopped(stop, work) or _Ended(Outcome.LOST, reason=error.code)
            except HeadwayError as error:
                return _stopped(stop, work) or _failed(error.code, error.message)

    def _patiently(self, stop: Stop, move: Callable[[], T]) -> T:
        """Return what `move` returns, trying again while the coordinator is away for a moment.

        Raises:
            UnavailableError: it was away for too long, or the attempt is to stop.
        """
        clock = self._ports.clock
        deadline = clock.monotonic() + _TRANSFER_PATIENCE_SECONDS
        tries = 0
        while True:
            try:
                return move()
            except UnavailableError:
                tries += 1
                pause = exponential(tries, base=timedelta(milliseconds=250), cap=_LONGEST_PAUSE)
                if clock.monotonic() + pause.total_seconds() > deadline:
                    raise
                if stop.wait(pause.total_seconds()):
                    raise

    def _context(
        self, claim: Claim, work: Work, folders: Scratch, stop: Stop, log: AttemptLog
    ) -> Context:
        code = Path(work.code) if work.code else self._ports.code
        code = code if code.is_absolute() else self._ports.code / code
        seconds = None if work.timeout_ms is None else work.timeout_ms / 1000
        journal = self._ports.journal
        return Context(
            env=step_environment(self._ports.base_env, work, folders, code),
            code=code,
            cwd=code / str(work.body.get("workdir") or "."),
            output=folders.output,
            log=log,
            last_line=log.last_line,
            stop=stop,
            deadline=None if seconds is None else self._ports.clock.monotonic() + seconds,
            on_deadline=lambda: stop.request(StopReason.TIMED_OUT, GRACE_SECONDS),
            on_started=lambda pid, start: journal.started(claim.attempt, pid, start),
        )

    def _normalised(
        self,
        result: Result,
        work: Work,
        context: Context,
        folders: Scratch,
        transfer: ArtifactTransfer,
    ) -> _Ended:
        stopped = _stopped(context.stop, work)
        if stopped is not None:
            return stopped
        match result:
            case Done():
                outputs = _outputs(work, result)
                patterns = work.body.get("artifacts") or []
                roots = [folders.work, context.cwd]
                stored = self._patiently(context.stop, lambda: transfer.store(patterns, roots))
                return _Ended(
                    Outcome.SUCCEEDED,
                    exit_code=result.exit_code,
                    outputs=outputs,
                    artifacts=tuple(stored),
                )
            case Failed():
                return _failed(result.code, result.message, result.exit_code, result.detail)
            case Lost():
                return _Ended(Outcome.LOST, reason=result.reason)

    def _completion(
        self, claim: Claim, work: Work, ended: _Ended, started_at: datetime, log_bytes: int
    ) -> Completion:
        return Completion(
            attempt=claim.attempt,
            fence=claim.fence,
            run=work.run,
            step=work.step,
            worker=self._ports.identity.worker,
            boot=self._ports.identity.boot,
            seq=1,
            outcome=ended.outcome,
            reason=ended.reason,
            exit_code=ended.exit_code,
            error=ended.error,
            outputs=dict(ended.outputs or {}),
            artifacts=list(ended.artifacts),
            started_at=started_at,
            finished_at=self._ports.clock.now(),
            log_bytes=log_bytes,
        )


# Outputs that a step of a kind has without declaring them.
_IMPLIED = {"http": {"status": "int"}, "sql": {"count": "int"}}


def _outputs(work: Work, result: Done) -> dict[str, object]:
    """Return the checked outputs. Only a Python step may give some that it does not declare, and
    only if it declares none: its mapping then stands as it is."""
    declared = work.body.get("outputs") or {}
    declared = {**_IMPLIED.get(work.kind, {}), **declared}
    if declared or work.kind != "python":
        outputs = check(declared, result.outputs, text=result.text)
    else:
        outputs = dict(result.outputs)
    ensure_size(outputs)
    return outputs


def _stopped(stop: Stop, work: Work) -> _Ended | None:
    """Return the outcome that a stop asks for, whatever the step itself did in its last moments."""
    match stop.reason:
        case None:
            return None
        case StopReason.TIMED_OUT:
            seconds = (work.timeout_ms or 0) / 1000
            error = StepError(code="timed_out", message=f"ran longer than its {seconds:g} s")
            return _Ended(Outcome.TIMED_OUT, error=error)
        case StopReason.CANCELLED:
            return _Ended(Outcome.CANCELLED)
        case StopReason.LEASE_EXPIRED | StopReason.PREEMPTED | StopReason.DISOWNED:
            return _Ended(Outcome.LOST, reason=str(stop.reason))


def _redacted(ended: _Ended, redactor: Redactor) -> _Ended:
    """Return the end without secrets' values; names of artifacts lost them before."""
    if not redactor:
        return ended
    outputs = redactor.value(dict(ended.outputs or {}))
    try:
        ensure_size(outputs)  # a short number that is struck out becomes longer
    except OutputError as too_large:
        return _failed(too_large.code, str(too_large))
    error = ended.error and StepError(
        code=redactor.text(ended.error.code),
        message=redactor.text(ended.error.message),
        detail=None if ended.error.detail is None else redactor.text(ended.error.detail),
    )
    reason = None if ended.reason is None else redactor.text(ended.reason)
    return replace(ended, outputs=outputs, error=error, reason=reason)


def _failed(
    code: str, message: str, exit_code: int | None = None, detail: str | None = None
) -> _Ended:
    error = StepError(
        code=code[:64], message=message[:8192], detail=None if detail is None else detail[-65_536:]
    )
    return _Ended(Outcome.FAILED, exit_code=exit_code, error=error)


def _sealed(completion: Completion, token: str) -> Entry:
    body = completion.model_dump_json()
    sealed = Sealed(body=body, mac=seal(body.encode(), token))
    return Entry(completion.attempt, completion.fence, sealed)
