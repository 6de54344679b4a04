"""A run's end arrives at a real receiver on loopback, whoever dies meanwhile."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from headway import crash_points
from headway.outgoing.addresses import LOOPBACK, Allowed
from headway.plan.digest import digest_of
from headway.spec import load
from headway_coordinator.application.notifying import NotSentError, Reply
from headway_coordinator.integrations.posting import GuardedPost
from tests.integration.cluster import Cluster
from tests.servers.waiting import wait_until


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; `/slow` answers a header at a time until the test is over."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        self.over = threading.Event()
        self.given_up = threading.Event()  # the sender did not wait for the end of an answer
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, dict(self.headers), body))
        self.send_response({"/busy": 503, "/moved": 302}.get(self.path, 200))
        self.send_header("Retry-After", "120")
        self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        if self.path == "/slow":
            self.flush_headers()
            try:
                while not self.server.over.wait(0.02):
                    self.wfile.write(b"X-More: 1\r\n")
            except OSError:
                self.server.given_up.set()
                return
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def test_a_post_tells_status_and_retry_after(receiver: Receiver) -> None:
    post = GuardedPost(Allowed.parse(LOOPBACK))
    assert post(f"{receiver.url}/ok", {"X-Headway-Delivery": "n1"}, b"{}") == Reply(200, "120")
    assert post(f"{receiver.url}/busy", {}, b"{}") == Reply(503, "120")
    assert post(f"{receiver.url}/moved", {}, b"{}") == Reply(302, "120")
    assert [path for path, _, _ in receiver.posted] == ["/ok", "/busy", "/moved"]
    [(_, headers, body), *_] = receiver.posted
    assert (headers["X-Headway-Delivery"], body) == ("n1", b"{}")


def test_no_address_is_reached_that_is_not_allowed(receiver: Receiver) -> None:
    port = receiver.server_address[1]
    post = GuardedPost(Allowed.parse(()))
    for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
        with pytest.raises(NotSentError) as refused:
            post(f"http://user:pass@{host}:{port}/?key=1", {}, b"{}")
        assert not any(word in str(refused.value) for word in ("pass", "key", host))
    assert receiver.posted == []


@pytest.mark.parametrize("url", ["ftp://example.com/", "no url", "http://", "http://a:b/", "\x00"])
def test_what_is_no_address_is_told_without_it(url: str) -> None:
    with pytest.raises(NotSentError):
        GuardedPost(Allowed.parse(LOOPBACK))(url, {}, b"{}")


def test_an_answer_that_trickles_in_is_not_waited_for(receiver: Receiver) -> None:
    post = GuardedPost(Allowed.parse(LOOPBACK), within=timedelta(seconds=0.3))
    with pytest.raises(NotSentError, match="in time"):
        post(f"{receiver.url}/slow", {}, b"{}")


def telling(cluster: Cluster, url: str) -> None:
    """Store a pipeline of team demo that fails and tells of it."""
    text = (
        "headway: 1\npipeline: telling\nteam: demo\nowner: ann@example.com\n"
        'steps: {load: {run: "false"}}\n'
    )
    spec = load(text, "pipeline.yaml").spec
    assert spec is not None
    canonical = {**spec.canonical, "notify": [{"on": ["failed"], "webhook": url}]}
    cluster.storage.definitions.put(
        canonical=canonical, digest=digest_of(canonical), source=text, actor="ann"
    )


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_fails_is_told_of_though_the_leader_dies(
    cluster: Cluster, receiver: Receiver, moment: str
) -> None:
    env = {"HEADWAY_NOTIFY_ALLOW": "127.0.0.0/8"}
    telling(cluster, f"{receiver.url}/hook?key=1")
    cluster.start_api()
    cluster.start_worker()
    engine = cluster.start_engine(HEADWAY_CRASH_AT=f"notifications.settle:{moment}:1", **env)
    run = cluster.run("telling")
    assert engine.wait(within=60) == crash_points.STATUS
    cluster.start_engine("healthy", **env)

    def sent() -> dict[str, Any] | None:
        [row] = cluster.client.notifications()["notifications"]
        return dict(row) if row["state"] == "sent" else None

    row = wait_until(sent, what="the notification to be noted as sent")
    assert (row["run"], row["event"], row["to"]) == (run, "failed", f"{receiver.url}/…")
    # Sent, and nobody knew: then once more, and as the same delivery.
    times = {"before": 2, "after": 1}[moment]
    assert [headers["X-Headway-Delivery"] for _, headers, _ in receiver.posted] == (
        [row["id"]] * times
    )
    body = json.loads(receiver.posted[0][2])
    assert (body["run"], body["state"], body["owner"]) == (run, "failed", "ann@example.com")
    assert all("key=1" not in child.output() for child in cluster.children.values())


@pytest.mark.slow
def test_a_receiver_that_does_not_answer_holds_up_no_handover(
    cluster: Cluster, receiver: Receiver
) -> None:
    env = {"HEADWAY_NOTIFY_ALLOW": "127.0.0.0/8"}
    telling(cluster, f"{receiver.url}/slow")
    cluster.start_api()
    cluster.start_worker()
    leader = cluster.start_engine(**env)
    leader.wait_for_output("leading")
    other = cluster.start_engine("other")
    cluster.run("telling")
    wait_until(lambda: receiver.posted, what="the notification that is being sent")
    leader.send(signal.SIGTERM)
    other.wait_for_output('"event": "leading"')
    assert not receiver.given_up.is_set(), "the former leader waited for an answer"
    assert leader.wait() == 0
