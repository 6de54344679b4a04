"""The API on a real SQLite database, with a leader and a worker that move when they are told to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import create_engine
from starlette.testclient import TestClient

from headway.clock import ManualClock
from headway.expressions import evaluate
from headway.ids import new_id
from headway.protocol.messages import Completion, Dispatch, Sealed
from headway.protocol.proof import seal
from headway_coordinator.access.tokens import fingerprint, new_token
from headway_coordinator.api.app import create_app
from headway_coordinator.application.access_ports import Role, Token
from headway_coordinator.application.advancing import Advancer
from headway_coordinator.application.capacity import CapacityView
from headway_coordinator.application.conditions import Conditions
from headway_coordinator.application.deciding import Decider
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.resolving import Resolver
from headway_coordinator.application.services import Services
from headway_coordinator.integrations.store import open_store
from headway_coordinator.integrations.webhooks import SOURCES, cloudevents
from headway_coordinator.page import page_routes
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.storage.schema import metadata

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
KEY = b"the key of a test"
SALES = """\
headway: 1
pipeline: sales
team: analytics
owner: sales@example.com
runbook: https://wiki.example.com/sales
params:
  region: {type: string, default: eu}
steps:
  extract: {run: echo extract, outputs: {rows: int}}
  load: {needs: [extract], run: echo load}
"""


class Wishes:
    """An `Evaluator` without the child process."""

    def evaluate(self, source: str, context: Any) -> Any:
        return evaluate(source, context)


class Bell:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.rung: list[Dispatch] = []

    def publish(self, dispatches: Iterable[Dispatch]) -> None:
        self.rung.extend(dispatches)


class House:
    """Storage, store, API, leader; `client` speaks as nobody until it is given a token."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder / 'headway.db'}"
        engine = create_engine(url)
        metadata.create_all(engine)
        engine.dispose()
        self.clock = ManualClock(START)
        self.storage = open_storage(url, clock=self.clock)
        self.store = open_store(f"file://{folder / 'store'}")
        self.nudges = self.trigger_nudges = self.notification_nudges = self.wakes = 0
        self.refused: list[str] = []
        self.broker_is_up = True
        self.services = Services(
            storage=self.storage,
            store=self.store,
            secret_key=KEY,
            clock=self.clock,
            nudge=self._nudged,
            nudge_triggers=self._told,
            nudge_notifications=self._noted,
            hook_sources=SOURCES,
            cloudevents=cloudevents.parse,
            worker_lease=timedelta(seconds=60),
            heartbeat=timedelta(seconds=3),
            refused=self.refused.append,
            broker_answers=lambda: self.broker_is_up,
        )
        self.app = create_app(self.services, page_routes(self.services))
        self.client = TestClient(self.app, raise_server_exceptions=False, follow_redirects=False)
        self.bell = Bell()
        self._advancer = self._leader()
        self._tokens: dict[tuple[str, str | None], str] = {}

    def close(self) -> None:
        self.client.close()
        self.storage.close()

    def _nudged(self) -> None:
        self.nudges += 1

    def _told(self) -> None:
        self.trigger_nudges += 1

    def _noted(self) -> None:
        self.notification_nudges += 1

    def _woken(self) -> None:
        """What decides is woken by the leader."""
        self.wakes += 1

    # --- people ----------------------------------------------------------------------------------

    def token(self, role: Role, team: str | None = "analytics") -> str:
        """Return a token of the role; the team is made if need be."""
        if (role, team) not in self._tokens:
            if team is not None:
                self.storage.access.add_team(team, "test")
            self._tokens[role, team] = self.new_token(role, team)[0]
        return self._tokens[role, team]

    def new_token(
        self, role: Role, team: str | None = "analytics", life: timedelta | None = None
    ) -> tuple[str, Token]:
        text = new_token(lambda size: hashlib.sha512(new_id(self.clock).encode()).digest()[:size])
        now = self.clock.now()
        ends = None if life is None else now + life
        token = Token(new_id(self.clock), f"{role} of {team}", team, role, now, ends)
        self.storage.access.add_token(token, fingerprint(text))
        return text, token

    def ask(
        self, role: Role, method: str, path: str, *, team: str | None = "analytics", **more: Any
    ) -> Any:
        """Send a request with a token of the role and team; return the response."""
        headers = {"Authorization": f"Bearer {self.token(role, team)}", **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def apply(self, text: str = SALES) -> Any:
        files = [{"name": "pipeline.yaml", "text": text}]
        return self.ask("admin", "POST", "/api/v1/pipelines", team=None, json={"files": files})

    def start(self, pipeline: str = "sales", *, key: str | None = None, **body: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"pipeline": pipeline, **body}
        return self.ask("operator", "POST", "/api/v1/runs", json=body, headers=headers)

    def running(self, text: str = SALES, **body: Any) -> str:
        """Apply, start a run, let the leader take it in; return its id."""
        assert self.apply(text).status_code == 200
        pipeline = next(
            line.split(":")[1].strip() for line in text.splitlines() if line.startswith("pipeline")
        )
        self.register()
        response = self.start(pipeline, **body)
        assert response.status_code == 202, response.text
        self.lead()
        return str(response.json()["id"])

    def shown(self, run: str) -> dict[str, Any]:
        response = self.ask("viewer", "GET", f"/api/v1/runs/{run}")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    # --- the leader ------------------------------------------------------------------------------

    def _leader(self) -> Advancer:
        lease = self.storage.leases.acquire(
            "advance/0", holder="leader", boot="b1", term=timedelta(days=1)
        )
        assert lease is not None
        self.lease = lease
        advancer = Advancer(
            storage=self.storage,
            resolver=Resolver(Wishes()),
            plans=Plans(self.storage.definitions),
            doorbell=self.bell,
            capacity=CapacityView(self.clock, live_within=timedelta(hours=1), refresh=timedelta()),
            clock=self.clock,
            claim_within=timedelta(seconds=10),
            told=self._woken,
        )
        advancer.load()
        return advancer

    def decide(self) -> None:
        """Let the leader decide on what came in."""
        Decider(self.storage, Conditions(Wishes()), self.clock).decide(self.lease)

    def load(self) -> None:
        """Let the leader forget all and read the rows, as a new one does."""
        self._advancer.load()

    def lead(self) -> None:
        """Let the leader apply the inbox and admit what is ready."""
        for _ in range(5):
            self._advancer.advance(self.lease, [], inbox=True)

    # --- a worker --------------------------------------------------------------------------------

    def work(self, call: str, body: Mapping[str, Any], *, team: str = "analytics") -> Any:
        """Send a worker's message; return the response."""
        return self.ask("worker", "POST", f"/worker/v1/{call}", team=team, content=dumps(body))

    def register(self, worker: str = "w1", boot: str = "b1", *, team: str = "analytics") -> Any:
        body = {
            "worker": worker,
            "boot": boot,
            "classes": ["small", "default"],
            "slots": 4,
            "hostname": "host",
            "machine_boot": "m1",
            "version": "0.1.0",
        }
        return self.work("register", body, team=team)

    def claim(
        self, dispatch: Dispatch, *, worker: str = "w1", boot: str = "b1", team: str = "analytics"
    ) -> Any:
        said = dispatch.model_dump(include={"attempt", "fence", "dispatch_no", "queue"})
        body = {"worker": worker, "boot": boot, "claims": [said]}
        return self.work("claims", body, team=team)

    def won(self, step: str) -> Won:
        """Claim the newest dispatch of the step."""
        dispatch = next(d for d in reversed(self.bell.rung) if d.step == step)
        answer = self.claim(dispatch).json()["claims"][0]
        assert answer["won"], answer
        return Won(dispatch, answer["token"], answer["work"])

    def finish(self, step: str, **fields: Any) -> Won:
        """Claim the step, report its end over HTTP and let the leader apply it."""
        won = self.won(step)
        response = self.work("completions", {"completions": [won.sealed(self, **fields)]})
        assert response.json()["accepted"] == [won.dispatch.attempt], response.text
        self.lead()
        return won

    def log(self, won: Won, data: bytes, offset: int = 0, **changed: Any) -> Any:
        chunk = {
            "attempt": won.dispatch.attempt,
            "fence": won.dispatch.fence,
            "offset": offset,
            "data": base64_text(data),
        }
        return self.work("logs", {"worker": "w1", "boot": "b1", "chunks": [chunk], **changed})

    def upload(self, won: Won, path: str, content: bytes, **changed: Any) -> Any:
        """Put an artifact of the attempt."""
        sha256 = changed.get("sha256", hashlib.sha256(content).hexdigest())
        token = changed.get("token", won.token)
        return self.ask(
            "worker",
            "PUT",
            f"/worker/v1/artifacts/{won.dispatch.attempt}",
            team=changed.get("team", "analytics"),
            params={"path": path, "fence": changed.get("fence", won.dispatch.fence)},
            headers={"X-Headway-Sha256": sha256, "X-Headway-Token": token},
            content=content,
        )


class Won:
    """A claimed attempt."""

    def __init__(self, dispatch: Dispatch, token: str, work: dict[str, Any]) -> None:
        self.dispatch = dispatch
        self.token = token
        self.work = work

    def completion(self, house: House, **fields: Any) -> Completion:
        given = {
            "attempt": self.dispatch.attempt,
            "fence": self.dispatch.fence,
            "run": self.dispatch.run,
            "step": self.dispatch.step,
            "worker": "w1",
            "boot": "b1",
            "seq": 1,
            "outcome": "succeeded",
            "started_at": house.clock.now(),
            "finished_at": house.clock.now(),
            "outputs": {},
        }
        return Completion.model_validate({**given, **fields}, strict=False)

    def sealed(self, house: House, **fields: Any) -> dict[str, Any]:
        """Return the completion with its MAC."""
        body = self.completion(house, **fields).model_dump_json()
        return Sealed(body=body, mac=seal(body.encode(), self.token)).model_dump()


def dumps(value: Any) -> bytes:
    return orjson.dumps(value)


def base64_text(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()
