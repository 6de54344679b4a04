"""The workers' side: claims, heartbeats, completions, logs and artifacts.

The busy calls bypass the framework: raw bytes are read by the strict message models and answered
as bytes. Their threads are theirs alone, so that no slow upload or download stands before a claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import structlog
from anyio import CapacityLimiter, from_thread, to_thread
from fastapi import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from headway.errors import ConflictError, DefinitionError, ForbiddenError
from headway.protocol.messages import (
    ClaimAnswer,
    ClaimAnswers,
    ClaimBatch,
    CompletionBatch,
    Heartbeat,
    HeartbeatAnswer,
    LogBatch,
    Message,
    Register,
    Registered,
)
from headway.protocol.proof import completion_token
from headway.protocol.queues import split_queue, step_queue
from headway_coordinator.access.roles import Action
from headway_coordinator.api.guards import identified
from headway_coordinator.api.threads import Threads
from headway_coordinator.api.worker_call import WorkerCall, team_of
from headway_coordinator.application.completions import record_completions
from headway_coordinator.application.reading import artifact_key
from headway_coordinator.application.secrets import NOTHING_GIVEN, Given
from headway_coordinator.application.services import Services
from headway_coordinator.application.uploads import held_attempt, store_artifact, store_logs
from headway_coordinator.application.worker_ports import ClaimResult

log = structlog.get_logger("headway.api")

M = TypeVar("M", bound=Message)

_CALLS = 24
_DOWNLOADS = 8
_UPLOADS = 8
_LATE_EVERY_S = 5.0
_SHA256 = frozenset("0123456789abcdef")


def worker_calls(services: Services) -> dict[str, WorkerCall[Any]]:
    """Return the busy calls by their paths."""
    threads = Threads(_CALLS, "worker-calls")

    def call(model: type[M], handle: Callable[[Services, str, M], bytes]) -> WorkerCall[M]:
        return WorkerCall(services, model, handle, threads)

    return {
        "/worker/v1/register": call(Register, register),
        "/worker/v1/claims": call(ClaimBatch, claim),
        "/worker/v1/heartbeat": call(Heartbeat, Heartbeats()),
        "/worker/v1/completions": call(CompletionBatch, Completions()),
        "/worker/v1/logs": call(LogBatch, logs),
    }


def worker_routes(services: Services, calls: Mapping[str, WorkerCall[Any]]) -> list[BaseRoute]:
    """Return the routes under /worker/v1, of which `calls` are most."""
    uploads, downloads = CapacityLimiter(_UPLOADS), CapacityLimiter(_DOWNLOADS)
    upload, download = Upload(services, uploads), Download(services, downloads)
    return [
        *(Route(path, call, methods=["POST"]) for path, call in calls.items()),
        Route("/worker/v1/artifacts/{attempt}", upload, methods=["PUT"]),
        Route("/worker/v1/artifacts/{attempt}/{sha256}", download, methods=["GET"]),
    ]


def register(services: Services, team: str, message: Register) -> bytes:
    """A worker's boot announces itself; nothing is registered of one with another team's token."""
    if message.team is not None and message.team != team:
        raise ForbiddenError(
            "wrong_team",
            f"the token is of team {team}, not {message.team}",
            "Give the worker a token of its own team.",
        )
    for name in message.classes:
        try:
            split_queue(step_queue(team, name))
        except ValueError as error:
            raise DefinitionError(f"{name!r} is no resource class", code="bad_class") from error
    services.storage.workers.register(team, message)
    answer = Registered(
        team=team,
        lease_ms=_milliseconds(services.worker_lease.total_seconds()),
        heartbeat_ms=_milliseconds(services.heartbeat.total_seconds()),
        server_now=services.clock.now(),
    )
    return _json(answer)


def claim(services: Services, team: str, batch: ClaimBatch) -> bytes:
    """Who wins is told the work and the completion token; who loses, the reason."""
    results = services.storage.workers.claim(team, batch, services.worker_lease)
    if results is None:
        raise _superseded(batch.worker)
    given = services.secrets.for_claims(team, results)
    claims = [
        _claim_answer(services.secret_key, batch, result, given.get(result.attempt, NOTHING_GIVEN))
        for result in results
    ]
    lease = _milliseconds(services.worker_lease.total_seconds())
    return _json(ClaimAnswers.model_construct(lease_ms=lease, claims=claims))


def _claim_answer(key: bytes, batch: ClaimBatch, result: ClaimResult, given: Given) -> ClaimAnswer:
    token = None
    if result.work is not None:
        token = completion_token(
            key,
            attempt=result.attempt,
            fence=result.fence,
            worker=batch.worker,
            boot=batch.boot,
        )
    return ClaimAnswer.model_construct(
        attempt=result.attempt,
        fence=result.fence,
        won=result.work is not None,
        reason=result.reason,
        work=result.work,
        token=token,
        secrets=dict(given.values),
        failure=given.failure,
    )


def _superseded(worker: str) -> ConflictError:
    message = f"another boot of worker {worker} has registered"
    return ConflictError("superseded", message, "Stop this process.")


class Heartbeats:
    """What is renewed, lost, to be cancelled, acknowledged or to be sent again, and is not heard.

    Which queues are late is looked up every few seconds, and only for workers with free slots.
    """

    def __init__(self) -> None:
        self._late: list[str] = []
        self._looked_at = float("-inf")

    def __call__(self, services: Services, team: str, beat: Heartbeat) -> bytes:
        result = services.storage.workers.heartbeat(team, beat, services.worker_lease)
        unheard = self._unheard(services, team) if beat.slots_free and not beat.draining else []
        answer = HeartbeatAnswer.model_construct(
            superseded=result.superseded,
            lease_ms=_milliseconds(services.worker_lease.total_seconds()),
            renewed=list(result.renewed),
            lost=list(result.lost),
            cancel=list(result.cancel),
            grace_ms=dict(result.grace_ms),
            acknowledged=list(result.acknowledged),
            resend=list(result.resend),
            unheard=unheard,
        )
        return _json(answer)

    def _unheard(self, services: Services, team: str) -> list[str]:
        now = services.clock.monotonic()
        if now - self._looked_at >= _LATE_EVERY_S:
            self._looked_at = now
            self._late = services.storage.sweeps.late(services.late_after)
        return [queue for queue in self._late if split_queue(queue)[0] == team]


class Completions:
    """Proved completions go to the inbox. Refusals are counted; the first of a kind is logged."""

    def __init__(self) -> None:
        self._logged: set[str] = set()  # at most as many as there are kinds

    def __call__(self, services: Services, team: str, batch: CompletionBatch) -> bytes:
        def refused(kind: str, detail: str) -> None:
            services.refused(kind)
            if kind not in self._logged:
                self._logged.add(kind)
                log.warning("completion_refused", kind=kind, team=team, reason=detail[:300])

        received = record_completions(
            services.storage,
            services.secret_key,
            team,
            batch.completions,
            refused=refused,
        )
        if received.accepted:
            services.nudge()
        return _json(received)


def logs(services: Services, team: str, batch: LogBatch) -> bytes:
    """Chunks go to the store; foreign ones and repetitions change nothing."""
    store_logs(services.storage, services.store, team, batch)
    return b'{"accepted":true}'


class Upload:
    """PUT of an artifact: streamed, its SHA-256 checked, stored whole or not at all."""

    action = Action.WORK

    def __init__(self, services: Services, limiter: CapacityLimiter) -> None:
        self._services = services
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        team = team_of(identified(scope, self.action))
        answer = await to_thread.run_sync(self._store, request, team, limiter=self._limiter)
        await Response(answer, media_type="application/json")(scope, receive, send)

    def _store(self, request: Request, team: str) -> bytes:
        hold = held_attempt(
            self._services.storage,
            self._services.secret_key,
            team,
            attempt=request.path_params["attempt"],
            fence=_fence(request.query_params.get("fence", "")),
            token=request.headers.get("x-headway-token", ""),
        )
        ref = store_artifact(
            self._services.store,
            hold,
            path=request.query_params.get("path", ""),
            sha256=_sha256(request.headers.get("x-headway-sha256", "")),
            chunks=_chunks(request),
        )
        return _json(ref)


def _chunks(request: Request) -> Iterator[bytes]:
    """Yield the body as it comes; the sender waits while the store writes."""
    stream = request.stream()

    async def following() -> bytes | None:
        return await anext(stream, None)

    while (chunk := from_thread.run(following)) is not None:
        yield chunk


class Download:
    """GET of an artifact of the same run, for a step's inputs."""

    action = Action.WORK

    def __init__(self, services: Services, limiter: CapacityLimiter) -> None:
        self._services = services
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        team = team_of(identified(scope, self.action))
        content = await to_thread.run_sync(self._open, request, team, limiter=self._limiter)
        response = StreamingResponse(content, media_type="application/octet-stream")
        await response(scope, receive, send)

    def _open(self, request: Request, team: str) -> Iterator[bytes]:
        hold = held_attempt(
            self._services.storage,
            self._services.secret_key,
            team,
            attempt=request.path_params["attempt"],
            fence=None,
            token=request.headers.get("x-headway-token", ""),
        )
        sha256 = _sha256(request.path_params["sha256"])
        return iter(self._services.store.get(artifact_key(hold.run, sha256)))


def _fence(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise DefinitionError("`fence` is a number", code="invalid_request")
    return int(text)


def _sha256(text: str) -> str:
    if len(text) != 64 or not _SHA256.issuperset(text):
        message = "a SHA-256 is 64 lower-case hexadecimal digits"
        raise DefinitionError(message, code="invalid_request", hint="Send X-Headway-Sha256.")
    return text


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _json(message: Message) -> bytes:
    return message.model_dump_json(warnings=False).encode()
