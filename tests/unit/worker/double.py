"""A stand-in for the coordinator's API, over real HTTP, built from the message models."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from headway.errors import ForbiddenError
from headway.protocol.messages import (
    ArtifactRef,
    ClaimAnswer,
    ClaimAnswers,
    ClaimBatch,
    Completion,
    CompletionBatch,
    Heartbeat,
    HeartbeatAnswer,
    LogBatch,
    LostReason,
    Message,
    Received,
    Register,
    Registered,
    Sealed,
    StepError,
    Work,
    parse,
)
from headway.protocol.proof import completion_token, is_sealed

KEY = b"key of the double"
TOKEN = "hw_token"


@dataclass
class Double:
    """What the coordinator would keep, open to the test. `lock` guards all of it."""

    lease_ms: int = 60_000
    heartbeat_ms: int = 100
    acknowledges: bool = True
    down: bool = False
    superseded: bool = False
    refuses: ForbiddenError | None = None  # what heartbeats are answered with
    unheard: list[str] = field(default_factory=list)
    team: str = "analytics"
    works: dict[str, Work] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    failure: StepError | None = None
    holders: dict[str, tuple[str, str]] = field(default_factory=dict)
    claims: list[str] = field(default_factory=list)
    boots: list[Register] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    cancel: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    completions: dict[str, Completion] = field(default_factory=dict)
    received_by_http: list[str] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Double:
        handler = type("Handler", (_Handler,), {"double": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait(self, condition: Callable[[], Any], seconds: float = 30) -> None:
        """Wait until something that requests change comes true."""
        with self.lock:
            assert self.lock.wait_for(condition, seconds), "it did not come true in time"

    def add(self, attempt: str, kind: str = "run", **more: Any) -> Work:
        """Make an attempt claimable."""
        body = {"outputs": {}, "artifacts": [], "env": {}, **more.pop("body", {})}
        if kind not in body:
            body[kind] = more.pop("do", "true")
        defaults: dict[str, Any] = {
            "run": "run1",
            "pipeline": "daily",
            "team": self.team,
            "step": "s",
            "no": 1,
            "digest": "d1",
        }
        work = Work(kind=kind, body=body, **(defaults | more))
        with self.lock:
            self.works[attempt] = work
        return work

    def take(self, sealed: Sealed) -> str:
        """Record a completion as the leader would; return its attempt."""
        completion = parse(Completion, sealed.body)
        token = completion_token(
            KEY,
            attempt=completion.attempt,
            fence=completion.fence,
            worker=completion.worker,
            boot=completion.boot,
        )
        assert is_sealed(sealed.body.encode(), sealed.mac, token), "a wrong MAC"
        with self.lock:
            self.completions.setdefault(completion.attempt, completion)
            self.lock.notify_all()
        return completion.attempt

    def register(self, message: Register) -> Message:
        if message.team not in (None, self.team):
            raise ForbiddenError(
                "wrong_team", f"the token is of team {self.team}, not {message.team}"
            )
        self.boots.append(message)
        return Registered(
            team=self.team,
            lease_ms=self.lease_ms,
            heartbeat_ms=self.heartbeat_ms,
            server_now=datetime.now(UTC),
        )

    def claim(self, batch: ClaimBatch) -> Message:
        holder = (batch.worker, batch.boot)
        answers = []
        for claim in batch.claims:
            self.claims.append(claim.attempt)
            work = self.works.get(claim.attempt)
            held = work is not None and self.holders.setdefault(claim.attempt, holder) == holder
            if work is None or not held or claim.attempt in self.completions:
                reason = LostReason.UNKNOWN if work is None else LostReason.RUNNING
                answers.append(
                    ClaimAnswer(attempt=claim.attempt, fence=claim.fence, won=False, reason=reason)
                )
                continue
            token = completion_token(
                KEY, attempt=claim.attempt, fence=claim.fence, worker=holder[0], boot=holder[1]
            )
            answers.append(
                ClaimAnswer(
                    attempt=claim.attempt,
                    fence=claim.fence,
                    won=True,
                    work=work,
                    token=token,
                    secrets=self.secrets,
                    failure=self.failure,
                )
            )
        return ClaimAnswers(lease_ms=self.lease_ms, claims=answers)

    def beat(self, message: Heartbeat) -> Message:
        if self.refuses:
            raise self.refuses
        self.heartbeats.append(message)
        running = [held.attempt for held in message.running]
        finished = [held.attempt for held in message.finished]
        return HeartbeatAnswer(
            superseded=self.superseded,
            lease_ms=self.lease_ms,
            renewed=[a for a in running if a not in self.lost],
            lost=[a for a in running if a in self.lost],
            cancel=[a for a in running if a in self.cancel],
            acknowledged=[a for a in finished if self.acknowledges and a in self.completions],
            unheard=list(self.unheard),
        )

    def complete(self, batch: CompletionBatch) -> Message:
        accepted = [self.take(sealed) for sealed in batch.completions]
        self.received_by_http += accepted
        return Received(accepted=accepted)

    def log(self, batch: LogBatch) -> dict[str, Any]:
        for chunk in batch.chunks:
            have = self.logs.get(chunk.attempt, b"")
            if chunk.offset > len(have):
                self.gaps.append(chunk.attempt)
            if chunk.offset == len(have):
                self.logs[chunk.attempt] = have + chunk.data
        return {"accepted": True}

    def store(self, path: str, data: bytes, sha256: str) -> Message:
        assert hashlib.sha256(data).hexdigest() == sha256
        self.stored[sha256] = data
        return ArtifactRef(path=path, sha256=sha256, size=len(data))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    double: Double

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        routes: dict[str, tuple[type[Message], Callable[[Any], Any]]] = {
            "register": (Register, self.double.register),
            "claims": (ClaimBatch, self.double.claim),
            "heartbeat": (Heartbeat, self.double.beat),
            "completions": (CompletionBatch, self.double.complete),
            "logs": (LogBatch, self.double.log),
        }
        model, use = routes[self.path.removeprefix("/worker/v1/")]
        self._reply(lambda: use(parse(model, body)))

    def do_PUT(self) -> None:
        data = self._chunked()
        path = parse_qs(urlsplit(self.path).query)["path"][0]
        self._reply(lambda: self.double.store(path, data, self.headers["X-Headway-Sha256"]))

    def do_GET(self) -> None:
        data = self.double.stored.get(self.path.rpartition("/")[2])
        self._send(404 if data is None else 200, data or b"{}")

    def _chunked(self) -> bytes:
        if self.headers.get("Content-Length"):
            return self.rfile.read(int(self.headers["Content-Length"]))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _reply(self, use: Callable[[], Any]) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._send(401, b'{"code": "unauthorized", "detail": "no token"}')
        with self.double.lock:
            if self.double.down:
                return self._send(503, b'{"code": "down", "detail": "as the test wants"}')
            try:
                answer = use()
            except ForbiddenError as error:
                told = {"code": error.code, "detail": error.message}
                return self._send(error.status, json.dumps(told).encode())
            self.double.lock.notify_all()
        body = answer.model_dump_json() if isinstance(answer, Message) else json.dumps(answer)
        return self._send(200, body.encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""
