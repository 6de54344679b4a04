"""Events at a real API process: the scenarios of CloudEvents, and requests changed by chance."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import psutil
import pytest

from headway.clock import rfc3339
from headway_coordinator.integrations.webhooks import SOURCES, HookRequest, MalformedEvent
from headway_coordinator.integrations.webhooks.cloudevents import BATCHED, STRUCTURED, parse
from headway_coordinator.triggers.event import Event
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster
from tests.integration.process_trees import HEADER
from tests.servers.processes import Child
from tests.servers.waiting import wait_until
from tests.unit.integrations.webhooks.mutations import changed_body, changed_headers, chosen
from tests.unit.integrations.webhooks.test_cloudevents import SCENARIOS, read_request

pytestmark = pytest.mark.slow
MUTATIONS = 2000 if os.environ.get("LONG") == "1" else 400
MODES = ("binary", "structured", "batched")
SECRET = "no base64, and only this test knows it"
# Some of what comes fits the trigger, and a run is asked for with whatever it says.
HEARING = """
pipeline: hearing
params: {{said: {{type: string, default: ""}}}}
triggers:{hooks}
  - event: {{type: com.example.*}}
    if: event.data != null
steps: {{look: {{run: "true"}}}}
"""
HOOK = """
  - name: {source}
    webhook: {{source: {source}, name: hostile, secret: "secret://hook"}}
    if: event.data.action != null || event.data.repository != null
    params: {{said: "${{{{ event.data.ref }}}}"}}"""
NAMING = ("x-github-delivery", "webhook-id")
"""Headers that name a delivery: each request gets a name of its own, so that it is kept."""


@pytest.fixture
def broker(redis_database: str) -> Broker:
    """One broker is enough: senders do not see it."""
    return Broker(redis_database)


@dataclass(frozen=True)
class Changed:
    """A request that has been changed, with a proof that fits what it has become."""

    target: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def events(self) -> list[Event] | None:
        """Return the events that it should give; None where it is malformed."""
        try:
            if self.target in MODES:
                return parse(self.headers, self.body)
            return SOURCES[self.target].events(HookRequest(self.headers, self.body))
        except MalformedEvent:
            return None

    def post(self, client: httpx2.Client) -> httpx2.Response:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        return client.post(self.path, content=self.body, headers=raw)


def hooks(chance: random.Random, number: int) -> Changed:
    """Return a request of one of the nine sources."""
    source = chance.choice(sorted(SOURCES))
    sent = chosen(source, chance)
    body = changed_body(sent.request.body, chance)
    # What says how the bytes travel is the connection's, not the sender's.
    own = {n: v for n, v in sent.headers.items() if n not in ("host", "content-length")}
    headers = changed_headers(own, chance)
    headers |= {name: f"{headers[name]}-{number}" for name in NAMING if name in headers}
    path = f"/api/v1/hooks/{source}/hostile"
    return Changed(source, path, {**headers, **proof(source, headers, body)}, body)


def proof(source: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Return the headers by which the source proves these bytes."""
    match source:
        case "github":
            mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            return {"x-hub-signature-256": f"sha256={mac}"}
        case "gitlab":
            return {"x-gitlab-token": SECRET}
        case "standard-webhooks":
            now = str(int(time.time()))
            content = b".".join((headers["webhook-id"].encode("latin-1"), now.encode(), body))
            signed = hmac.new(SECRET.encode(), content, hashlib.sha256).digest()
            signature = f"v1,{base64.b64encode(signed).decode()}"
            return {"webhook-timestamp": now, "webhook-signature": signature}
        case _:
            return {"authorization": f"Bearer {SECRET}"}


def cloudevents(chance: random.Random, number: int, token: str) -> Changed:
    """Return a request to the route of CloudEvents, its data a real body."""
    mode = chance.choice(MODES)
    data = chosen(chance.choice(sorted(SOURCES)), chance).request.body
    attributes = {"specversion": "1.0", "source": "/changed", "type": "com.example.changed"}
    attributes |= {"id": str(number), "subject": "s", "time": "2026-11-23T09:00:00Z", "size": "1"}
    if mode == "binary":
        named = {f"ce-{name}": value for name, value in attributes.items()}
        headers = changed_headers({**named, "content-type": "application/json"}, chance)
        body = changed_body(data, chance)
    else:
        event = {**attributes, "data": json.loads(data)}
        batch = [event, {**event, "id": f"{number}-2"}]
        plain = json.dumps(batch if mode == "batched" else event).encode()
        headers = {"content-type": BATCHED if mode == "batched" else STRUCTURED}
        body = changed_body(plain, chance)
    bearer = {"authorization": f"Bearer {token}"}
    return Changed(mode, "/api/v1/events?team=demo", {**headers, **bearer}, body)


def changed(token: str) -> Iterator[Changed]:
    chance = random.Random(0)
    for number in range(MUTATIONS):
        is_hook = chance.randrange(len(SOURCES) + len(MODES)) < len(SOURCES)
        yield hooks(chance, number) if is_hook else cloudevents(chance, number, token)


def cpu_seconds(child: Child) -> float:
    """Return what the process has used of the processors so far."""
    used = psutil.Process(child.pid).cpu_times()
    return used.user + used.system


def shown(client: httpx2.Client, id: str, token: str) -> Any:
    """Return the event as it was kept."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = client.get(f"/api/v1/events/{id}", headers=headers)
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()["event"]


def assert_kept(
    client: httpx2.Client, request: Changed, answer: httpx2.Response, token: str
) -> int:
    """Check that the answer's events are those of the request; return how many are new."""
    wanted = request.events()
    assert wanted is not None
    rows = answer.json()["events"]
    assert len(rows) == len(wanted)
    new = [(row["id"], event) for row, event in zip(rows, wanted, strict=True) if row["created"]]
    for id, event in new:
        found = shown(client, id, token)
        told = (event.id, event.source, event.type, event.subject, event.name, event.data)
        names = ("id", "source", "type", "subject", "name", "data")
        assert tuple(found[name] for name in names) == told
        assert found["extensions"] == dict(event.extensions)
        assert event.time is None or found["time"] == rfc3339(event.time)
    return len(new)


@pytest.mark.timeout(600)
def test_changed_requests_are_kept_or_refused_and_hurt_nobody(cluster: Cluster) -> None:
    api = cluster.start_api()
    engine = cluster.start_engine()
    triggers = "".join(HOOK.format(source=source) for source in sorted(SOURCES))
    cluster.apply(HEADER + HEARING.format(hooks=triggers))
    cluster.client.put_secret("hook", SECRET, team="demo")
    statuses: Counter[tuple[str, int]] = Counter()
    kept = 0
    with httpx2.Client(base_url=cluster.api_url, timeout=30) as client:
        for request in changed(cluster.token):
            before = cpu_seconds(api)
            answer = request.post(client)
            # Of the processor, not of the clock: what else the machine does is not its fault.
            assert cpu_seconds(api) - before < 1, (request.target, request.body[:200])
            statuses[request.target, answer.status_code] += 1
            if answer.status_code in (200, 202):
                kept += assert_kept(client, request, answer, cluster.token)
            else:
                assert answer.status_code == 422, (request.target, answer.text[:300])
                assert answer.json()["code"] == "malformed_event"
                assert request.events() is None
        wait_until(lambda: not cluster.storage.events.undecided(1), within=60, what="decisions")
    assert api.running
    assert engine.running
    assert kept > MUTATIONS // 5
    # Every target has taken something and refused something, or the changes would prove nothing.
    for target in (*SOURCES, *MODES):
        assert statuses[target, 202], target
        assert statuses[target, 422], target


def test_the_scenarios_of_the_binding_through_the_route(cluster: Cluster) -> None:
    cluster.start_api()
    with httpx2.Client(base_url=cluster.api_url, timeout=30) as client:
        for number, scenario in enumerate(SCENARIOS):
            # All scenarios have the same source and id, which one team keeps once.
            team = f"team-{number}"
            cluster.apply(
                f"headway: 1\nteam: {team}\nowner: o\npipeline: p\nsteps: {{a: {{run: a}}}}\n"
            )
            request = read_request(scenario.request)
            headers = {**request.headers, "authorization": f"Bearer {cluster.token}"}
            headers = {n: v for n, v in headers.items() if n not in ("host", "content-length")}
            answer = client.post(
                f"/api/v1/events?team={team}", content=request.body, headers=headers
            )
            assert answer.status_code == 202, answer.text
            [row] = answer.json()["events"]
            assert row["created"]
            event = shown(client, row["id"], cluster.token)
            found = {**event["extensions"], "specversion": "1.0"}
            found |= {name: event[name] for name in ("id", "type", "source", "time")}
            assert found == {**scenario.attributes, "time": "2018-04-05T03:56:24.000Z"}
            assert event["data"] == json.loads(scenario.data)
    assert len(SCENARIOS) == 4
