"""A canary: a step gives its secret away in every way it can, and the value is nowhere."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import psycopg
import pytest
import redis

from headway.errors import HeadwayError
from tests.integration.cluster import Cluster, steps_of
from tests.servers.processes import Processes
from tests.servers.waiting import wait_until

CANARY = "c4nary/S3CRET+va1ue ~'x\"y\\z ü end"
KEY = "-----BEGIN CANARY-----\n" + "\n".join(
    hashlib.sha512(bytes([n])).hexdigest()[:64] for n in range(20)
)
CODE = """
import base64, hashlib, json, os, subprocess, sys, urllib.parse

def forms(value):
    data = value.encode()
    yield value
    yield repr(value)
    yield repr(data)
    yield json.dumps(value)
    yield json.dumps(value, ensure_ascii=False)
    yield urllib.parse.quote(value)
    yield urllib.parse.quote(value, safe="")
    yield urllib.parse.quote_plus(value)
    for before in range(3):
        yield base64.b64encode(b"-" * before + data).decode()
        yield base64.urlsafe_b64encode(b"-" * before + data + b"tail").decode()
    yield base64.encodebytes(data).decode()

def tell(token, nested):
    token = nested["deep"][0]
    for form in forms(token):
        print("form:", form)
        sys.stderr.write(form[:7])
        sys.stderr.flush()
        sys.stderr.write(form[7:] + "\\n")
    for form in forms(os.environ["KEY"]):
        print(form)
    for byte in token.encode():
        os.write(1, bytes([byte]))
    print("x" * 70_000 + token + "y" * 70_000)
    name = urllib.parse.quote(token, safe="")
    with open(os.path.join(os.environ["HEADWAY_WORKDIR"], "report " + name + ".txt"), "w") as file:
        file.write("fine")
    return {
        "sha": hashlib.sha256(token.encode()).hexdigest(),
        "told": {form: [form] for form in forms(token)},
        "key": os.environ["KEY"],
    }

def fail(token):
    raise RuntimeError("cannot sign in with " + token + " or " + repr(token))
"""
DEFINITION = """\
headway: 1
team: demo
owner: demo@example.com
pipeline: canary
code: {{path: {code}}}
defaults: {{retry: {{max: 2, delay: 100ms}}}}
steps:
  tell:
    python: canary:tell
    with: {{token: "secret://canary", nested: {{deep: ["secret://canary"]}}}}
    env: {{KEY: "secret://key"}}
    outputs: {{sha: string, told: object, key: string}}
    artifacts: ["*.txt"]
  fail:
    python: canary:fail
    with: {{token: "secret://canary"}}
    allow_failure: true
  script:
    run: |
      set -x
      echo "$TOKEN" | base64
      set +x
      echo "half=${{TOKEN:0:9}}"
      printf 'cannot sign in with %s' "$TOKEN"
      exit 3
    env: {{TOKEN: "secret://canary", DSN: "app:secret://canary@db"}}
    allow_failure: true
  ask:
    http:
      method: POST
      url: "{url}/echo?key=secret://canary"
      headers: {{X-Key: "Bearer secret://plain"}}
      json: {{token: "secret://canary"}}
    outputs: {{body: object}}
  refused:
    http: {{url: "{url}/refuse/secret://canary", headers: {{X-Key: "secret://plain"}}}}
    allow_failure: true
  absent:
    run: "true"
    env: {{TOKEN: "secret://absent"}}
    allow_failure: true
  foreign:
    run: "true"
    env: {{TOKEN: "secret://foreign"}}
    allow_failure: true
"""
PLAIN = "plain-c4nary-f0r-a-header"
FOREIGN = "f0reign-c4nary-of-team-risk"


def stable(value: bytes, before: int) -> bytes:
    """Return the base64 characters that stand for `value` alone after `before` other bytes."""
    return base64.b64encode(bytes(before) + value)[-(-before * 8 // 6) :][: len(value) * 8 // 6 - 1]


def needles(*values: str) -> dict[bytes, str]:
    """Return every byte sequence that must occur nowhere, with what it is of."""
    found: dict[bytes, str] = {}
    for value in values:
        for line in value.splitlines():
            data = line.encode()
            forms = [line, json.dumps(line)[1:-1], repr(line)[1:-1], quote(line), quote_plus(line)]
            forms += [json.dumps(json.dumps(line)[1:-1])[1:-1], quote(line, safe=""), data.hex()]
            found |= {form.encode(): line for form in forms}
            for before in range(3):
                encoded = stable(data, before)
                found |= {encoded: line, encoded.translate(bytes.maketrans(b"+/", b"-_")): line}
    return found


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = {"path": self.path, "key": self.headers["X-Key"], "said": json.loads(said or b"{}")}
        self.send_response(500 if self.path.startswith("/refuse") else 200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        """What a foreign server logs is its own business."""


@contextmanager
def echoing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


class Tap:
    """Everything that a Redis server is told, by MONITOR; arguments are escaped as in C."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=None)
        self._connection = self._client.connection_pool.get_connection()
        self._connection.send_command("MONITOR")  # type: ignore[no-untyped-call]  # redis has no types here
        self._connection.read_response()
        self.heard = bytearray()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            while True:
                self.heard += self._connection.read_response(disable_decoding=True) + b"\n"
        except (redis.RedisError, OSError, ValueError, AttributeError):
            return

    def close(self) -> None:
        marker = "the end of the tap"
        with redis.Redis.from_url(self._client_url()) as client:
            client.echo(marker)
        wait_until(lambda: marker.encode() in self.heard, what="the last command")
        self._connection.disconnect()  # type: ignore[no-untyped-call]  # redis has no types here
        self._thread.join(timeout=10)
        self._client.close()

    def _client_url(self) -> str:
        kwargs = self._client.connection_pool.connection_kwargs
        return f"redis://{kwargs['host']}:{kwargs['port']}/{kwargs.get('db', 0)}"


def keys_of(url: str) -> bytes:
    """Return a dump of every key."""
    with redis.Redis.from_url(url) as client:
        return b"\n".join(key + b" " + (client.dump(key) or b"") for key in client.keys("*"))


def rows_of(url: str) -> dict[str, bytes]:
    """Return every table as text."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [row[0] for row in names]
        return {
            name: "\n".join(
                row[0] for row in connection.execute(f'SELECT t::text FROM "{name}" t')
            ).encode()
            for name in tables
        }


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def answers(cluster: Cluster, run: str) -> dict[str, bytes]:
    """Return what the API and the pages say of the run and of all else."""
    steps = [step["step"] for step in cluster.show(run)["steps"]]
    paths = [
        *("runs", f"runs/{run}", f"runs/{run}/steps", f"runs/{run}/explain"),
        *(f"runs/{run}/artifacts", "pipelines", "pipelines/demo/canary", "audit", "secrets"),
        *("tokens", "workers", "queues", "diagnosis"),
        *(f"runs/{run}/logs?step={step}" for step in steps),
    ]
    headers = {"Authorization": f"Bearer {cluster.token}"}
    urls = [f"/api/v1/{path}" for path in paths] + ["/", f"/r/{run}"]
    with httpx2.Client(base_url=cluster.api_url, headers=headers) as client:
        got = {url: client.get(url) for url in urls}
    assert all(each.status_code == 200 for each in got.values())
    return {url: each.content for url, each in got.items()}


@pytest.fixture
def redis_cluster(
    processes: Processes, postgres_database: str, redis_database: str, tmp_path: Path
) -> Iterator[Cluster]:
    made = Cluster(processes, postgres_database, redis_database, tmp_path)
    yield made
    made.close()
    processes.close()


def test_a_secret_is_found_nowhere_after_a_run(redis_cluster: Cluster, tmp_path: Path) -> None:
    cluster = redis_cluster
    code = tmp_path / "code"
    code.mkdir()
    (code / "canary.py").write_text(CODE)
    tap = Tap(cluster.broker_url)
    cluster.start()
    cluster.client.add_team("demo")
    cluster.client.add_team("risk")
    cluster.client.put_secret("canary", CANARY, team="demo")
    cluster.client.put_secret("plain", PLAIN, team="demo")
    cluster.client.put_secret("key", KEY, team="demo")
    cluster.client.put_secret("foreign", FOREIGN, team="risk")

    with echoing() as url:
        text = DEFINITION.format(code=code, url=url)
        warned = cluster.client.apply([("canary.yaml", text)])["warnings"]
        run = cluster.run("canary")
        shown = cluster.wait(run)
    tap.close()

    # The steps had the value ...
    steps = steps_of(shown)
    assert [w["secret"] for w in warned] == ["absent", "foreign"]
    assert steps["tell"]["state"] == "succeeded", steps["tell"]["error"]
    assert steps["tell"]["outputs"]["sha"] == hashlib.sha256(CANARY.encode()).hexdigest()
    assert set(steps["tell"]["outputs"]["key"].split("\n")) == {"***"}
    assert [a["path"] for a in steps["tell"]["artifacts"]] == ["report ***.txt"]
    assert steps["fail"]["error"]["message"] == (
        "RuntimeError: cannot sign in with *** or '***'"
    ), steps["fail"]["error"]["message"]
    assert steps["script"]["error"]["message"].endswith("cannot sign in with ***")
    assert steps["ask"]["outputs"]["body"] == {
        "path": "/echo?key=***", "key": "Bearer ***", "said": {"token": "***"},
    }  # fmt: skip
    assert steps["refused"]["error"]["code"] == "http_status"
    for name in ("absent", "foreign"):
        assert steps[name]["reason"] == "secret_missing"
        assert len(steps[name]["attempts"]) == 1

    # ... and nobody else has it.
    places = {
        **{f"table {name}": rows for name, rows in rows_of(cluster.database_url).items()},
        **files_below(tmp_path / "store"),
        **files_below(tmp_path / "worker"),
        **{str(child.log): child.log.read_bytes() for child in cluster.children.values()},
        **answers(cluster, run),
        "names of files": "\n".join(map(str, tmp_path.rglob("*"))).encode(),
        "keys of Redis": keys_of(cluster.broker_url),
        "commands to Redis": bytes(tap.heard),
    }
    assert b'"headway.events"' in places["commands to Redis"]
    assert any(b"cannot sign in with ***" in content for content in places.values())
    assert b"secret://canary" in places["table definition"]
    assert b"secret://canary" in places["table attempt"]
    leaks = [
        f"{needle!r} of {value!r} in {place}"
        for needle, value in needles(CANARY, KEY, PLAIN, FOREIGN).items()
        for place, content in places.items()
        if needle in content
    ]
    assert not leaks, "\n".join(leaks[:20])


def test_a_value_that_is_set_anew_counts_from_the_next_attempt(redis_cluster: Cluster) -> None:
    cluster = redis_cluster
    cluster.start()
    cluster.client.add_team("demo")
    script = 'echo "sha=$(printf %s "$T" | sha256sum | cut -c1-64)" > $HEADWAY_OUTPUT'
    cluster.apply(
        "headway: 1\nteam: demo\nowner: d@example.com\npipeline: p\nsteps:\n  s:\n"
        f"    run: '{script}'\n    env: {{T: 'secret://t'}}\n    outputs: {{sha: string}}\n"
    )
    for value in ("first value", "second value"):
        cluster.client.put_secret("t", value, team="demo")
        outputs = steps_of(cluster.wait(cluster.run("p")))["s"]["outputs"]
        assert outputs["sha"] == hashlib.sha256(value.encode()).hexdigest()
    cluster.client.remove_secret("t", team="demo")
    with pytest.raises(HeadwayError):
        cluster.client.remove_secret("t", team="demo")
    assert steps_of(cluster.wait(cluster.run("p")))["s"]["reason"] == "secret_missing"
