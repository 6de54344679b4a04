"""What a real worker does with the steps of its queue, on both brokers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from headway.protocol.messages import Outcome
from tests.integration.worker_site import Events, Site, sleepers
from tests.servers.waiting import wait_until
from tests.unit.worker.double import TOKEN


def test_steps_of_every_kind_end_and_report(site: Site, events: Events) -> None:
    site.worker()
    (site.code / "sales.py").write_text("def main(n): print('in python'); return {'n': n + 1}")
    script = 'echo "$HEADWAY_PIPELINE $HEADWAY_STEP $NAME"; echo rows=3 >> $HEADWAY_OUTPUT'
    site.run("a-1-1", script, body={"outputs": {"rows": "int"}, "env": {"NAME": "x y"}})
    body = {"with": {"n": 1}, "outputs": {"n": "int"}}
    site.double.add("a-2-1", "python", do="sales:main", body=body)
    site.dispatch("a-2-1")
    request = {"method": "GET", "url": f"{site.double.url}/x", "expect": [404]}
    site.double.add("a-3-1", "http", do=request)
    site.dispatch("a-3-1")

    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    assert site.ended("a-1-1").outputs == {"rows": 3}
    assert site.double.logs["a-1-1"] == b"daily s x y\n"
    assert site.ended("a-1-1").log_bytes == len(b"daily s x y\n")
    assert site.ended("a-2-1").outputs == {"n": 2}
    assert site.double.logs["a-2-1"] == b"in python\n"
    assert site.ended("a-3-1").outputs == {"status": 404}
    assert sorted(events.seen) == ["a-1-1", "a-2-1", "a-3-1"]


def test_a_failing_step_says_why(site: Site, events: Events) -> None:
    site.worker()
    site.run("a-1-1", "echo first; false | true; echo unreached")
    site.run("a-2-1", "echo the reason >&2; exit 3")
    assert site.ended("a-1-1").exit_code == 1
    assert site.double.logs["a-1-1"] == b"first\n"
    failed = site.ended("a-2-1")
    assert (failed.outcome, failed.exit_code) == (Outcome.FAILED, 3)
    assert failed.error.code == "exit_status"
    assert failed.error.message == "exited with status 3: the reason"


def test_files_go_in_and_come_out(site: Site, events: Events) -> None:
    site.worker()
    data = b"given" * 100_000
    sha256 = hashlib.sha256(data).hexdigest()
    site.double.stored[sha256] = data
    ref = {"path": "deep/in.csv", "sha256": sha256, "size": len(data)}
    script = "cd $HEADWAY_WORKDIR; mkdir out; cp $HEADWAY_INPUTS/raw/deep/in.csv out/a.csv"
    site.run("a-1-1", script, inputs={"raw": [ref]}, body={"artifacts": ["out/*.csv"]})
    ended = site.ended("a-1-1")
    assert [(a.path, a.sha256, a.size) for a in ended.artifacts] == [
        ("out/a.csv", sha256, len(data))
    ]
    wait_until(lambda: not list((site.folder / "state").glob("worker-0/scratch/*/*/*")))


def test_a_step_over_its_time_is_ended_whole(site: Site, events: Events, mark: str) -> None:
    site.worker()
    site.run("a-1-1", f"setsid sleep {mark} & sleep {mark}", timeout_ms=300)
    ended = site.ended("a-1-1")
    assert ended.outcome is Outcome.TIMED_OUT
    assert ended.error.code == "timed_out"
    assert sleepers(mark) == 0


def test_a_cancelled_step_is_ended_whole(site: Site, events: Events, mark: str) -> None:
    site.worker()
    site.run("a-1-1", f"(setsid sleep {mark} &); sleep {mark}")
    wait_until(lambda: sleepers(mark) == 2)
    site.double.cancel.add("a-1-1")
    assert site.ended("a-1-1").outcome is Outcome.CANCELLED
    assert sleepers(mark) == 0


def test_a_disowned_attempt_is_ended_and_not_reported(
    site: Site, events: Events, mark: str
) -> None:
    site.worker()
    site.run("a-1-1", f"sleep {mark}")
    wait_until(lambda: sleepers(mark) == 1)
    site.double.lost.add("a-1-1")
    wait_until(lambda: sleepers(mark) == 0)
    site.run("a-2-1", "true")
    site.ended("a-2-1")
    assert "a-1-1" not in site.double.completions


def test_a_doubled_message_runs_once(site: Site, events: Events) -> None:
    site.worker(slots=1)
    count = site.folder / "count"
    gate = site.folder / "gate"
    script = f"echo x >> {count}; while [ ! -e {gate} ]; do sleep 0.02; done"
    site.run("a-1-1", script)
    wait_until(count.exists)
    for number in range(2, 6):
        site.dispatch("a-1-1", dispatch_no=number)
    site.run("b-1-1", "true")
    gate.touch()
    site.ended("a-1-1")
    site.ended("b-1-1")
    site.dispatch("a-1-1", dispatch_no=9)
    site.run("c-1-1", "true")
    site.ended("c-1-1")
    assert count.read_text() == "x\n"


def test_odd_messages_do_not_stop_the_worker(site: Site, events: Events) -> None:
    worker = site.worker()
    bodies: list[list[Any]] = [[], [1], [{}], [{"v": 2}], ["x" * 5000]]
    for body in bodies:
        site.send(body)
    site.run("a-1-1", "true")
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    [line] = [line for line in worker.output().splitlines() if "message_refused" in line]
    assert json.loads(line)["kind"] == "malformed"
    assert "not a Dispatch" in json.loads(line)["reason"]


def test_steps_see_no_secret_of_the_worker(site: Site, events: Events) -> None:
    site.worker(AWS_SECRET="hush")
    site.run("a-1-1", "env; tr '\\0' '\\n' < /proc/$PPID/environ")
    site.ended("a-1-1")
    seen = site.double.logs["a-1-1"].decode()
    assert "HEADWAY_RUN=run1" in seen
    for secret in (TOKEN, "hush", "HEADWAY_BROKER_URL", "HEADWAY_API_URL"):
        assert secret not in seen


def test_long_output_arrives_in_order_and_without_gaps(site: Site, events: Events) -> None:
    site.worker()
    site.run("a-1-1", "seq 1 200000")
    site.run("a-2-1", "seq 1 1000; sleep 0.7; seq 1001 2000")
    site.ended("a-1-1")
    site.ended("a-2-1")
    numbers = "".join(f"{n}\n" for n in range(1, 200_001)).encode()
    assert site.double.logs["a-1-1"] == numbers
    assert site.double.logs["a-2-1"] == "".join(f"{n}\n" for n in range(1, 2001)).encode()
    assert site.double.gaps == []
