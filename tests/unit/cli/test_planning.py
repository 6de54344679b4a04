"""`headway plan`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headway.spec import load
from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply, dead_address, problem

TEXT = """\
headway: 1
pipeline: sales
team: demo
owner: me@example.com
params:
  day: {type: date}
  region: {type: string, enum: [eu, us], default: eu}
steps:
  extract: {run: echo x, class: io}
  settle: {wait: 5m}
  load: {run: echo y, needs: [extract, settle], when: all_done, if: params.region == 'eu'}
finally:
  tidy: {run: echo z}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "sales.yaml"
    path.write_text(TEXT)
    return str(path)


def stored(api: ApiDouble, text: str) -> None:
    spec = load(text, "f").spec
    assert spec is not None
    row = {"version": 3, "digest": spec.digest, "definition": spec.canonical}
    api.on("GET /pipelines/demo/sales", Reply({**row, "pipeline": "sales", "team": "demo"}))
    queues = [{"queue": "demo.io", "workers": 2}, {"queue": "demo.default", "workers": 0}]
    api.on("GET /queues", Reply({"queues": queues, "next": None}))


def test_graph_params_queues_and_changes(headway: Command, api: ApiDouble, file: str) -> None:
    stored(api, TEXT.replace("echo y", "echo old").replace("tidy", "sweep"))
    done = headway("plan", file)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "  day (date) required" in lines
    assert '  region (string, one of ["eu", "us"]) = eu' in lines
    assert "  1 extract  run     demo.io" in lines
    assert "    settle   wait    -" in lines
    needs = "needs extract, settle; when all done; if params.region == 'eu'"
    assert f"  2 load     run     demo.default  {needs}" in lines
    assert "  3 tidy     run     demo.default  finally" in lines
    assert "  demo.io: 1 step, 2 live workers" in lines
    assert "  demo.default: 2 steps, and no live worker serves it" in lines
    assert "changes against version 3:" in lines
    assert "  ~ steps.load.run: echo old → echo y" in lines
    assert any(line.startswith("  + finally.tidy: {") for line in lines)
    assert any(line.startswith("  - finally.sweep: {") for line in lines)


def test_the_same_as_json(headway: Command, api: ApiDouble, file: str) -> None:
    stored(api, TEXT.replace("echo y", "echo old"))
    [plan] = headway("plan", file, "-p", "day=2026-03-01", "--json").document["plans"]
    assert plan["params"]["day"]["value"] == "2026-03-01"
    assert plan["params"]["region"]["value"] == "eu"
    assert [step["step"] for step in plan["steps"]] == ["extract", "settle", "load", "tidy"]
    assert plan["queues"][0] == {"queue": "demo.io", "steps": 1, "workers": 2, "served": True}
    assert plan["queues"][1]["served"] is False
    assert plan["compared_with"]["version"] == 3
    change = {"change": "changed", "path": "steps.load.run", "old": "echo old", "new": "echo y"}
    assert (plan["changed"], plan["changes"]) == (True, [change])


def test_what_is_not_stored_or_has_not_changed(headway: Command, api: ApiDouble, file: str) -> None:
    api.on("GET /queues", Reply({"queues": [], "next": None}))
    assert "changes: not stored yet" in headway("plan", file).out
    [plan] = headway("plan", file, "--json").document["plans"]
    assert (plan["compared_with"], plan["changed"], plan["reason"]) == (
        None,
        None,
        "not stored yet",
    )
    stored(api, TEXT)
    assert "changes: none against version 3" in headway("plan", file).out


def test_without_a_server_it_compares_with_nothing(
    headway: Command, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    with dead_address() as dead:
        monkeypatch.setenv("HEADWAY_API_URL", dead)
        done = headway("plan", file, "--json")
    assert done.status == 0
    [plan] = done.document["plans"]
    assert plan["queues"][0] == {"queue": "demo.io", "steps": 1, "workers": None, "served": None}
    assert (plan["compared_with"], plan["changes"]) == (None, [])
    assert done.err.startswith("compared with nothing: no coordinator answers")


def test_whoever_is_not_signed_in_sees_the_graph(
    headway: Command, api: ApiDouble, file: str
) -> None:
    api.on("GET /queues", problem(401, "not_signed_in", "no token"))
    done = headway("plan", file)
    assert done.status == 0
    assert "  1 extract" in done.out
    assert done.err == "compared with nothing: no token\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [("region=asia", "`asia` is not one of: eu, us"), ("dya=x", "did you mean `day`?")],
)
def test_params_that_do_not_fit(
    headway: Command, api: ApiDouble, file: str, given: str, said: str
) -> None:
    done = headway("plan", file, "-p", given)
    assert done.status == 2
    assert said in done.err


def test_an_invalid_file_is_not_planned(headway: Command, api: ApiDouble, file: str) -> None:
    Path(file).write_text(TEXT.replace("run: echo x", "rnu: echo x"))
    done = headway("plan", file, "--json")
    assert done.status == 2
    assert done.document["error"]["problems"]
    assert api.asked == []


TRIGGERS = """\
triggers:
  - schedule: {cron: "30 2 * * *", timezone: Europe/Paris}
    params: {day: "${{ run.data_interval_start }}"}
  - {name: once, schedule: {every: 1h, end: 2026-01-01T00:00:00Z}, params: {day: 2026-01-31}}
  - webhook: {source: github, event: [push, release], secret: secret://hook}
    if: event.data.ref == "refs/heads/main"
    params: {day: "${{ event.time }}"}
  - {asset: {all: ["s3://a", "s3://b"]}, params: {day: 2026-01-31}}
  - {pipeline: {name: ingest}, params: {day: 2026-01-31}}
  - {event: {type: com.example.*, source: x}, params: {day: 2026-01-31}}
"""


def test_triggers_with_the_next_times_of_schedules(
    headway: Command, api: ApiDouble, file: str
) -> None:
    Path(file).write_text(TRIGGERS + TEXT)
    stored(api, TEXT)
    lines = headway("plan", file).out.splitlines()
    start = lines.index("triggers:")
    assert lines[start + 1] == "  schedule  cron 30 2 * * * in Europe/Paris"
    assert re.fullmatch(
        r"            next (\w{3} \S+ 0[23]:[03]0:00 \+0[12]00(, )?){3}", lines[start + 2]
    )
    assert lines[start + 3 : start + 9] == [
        "  once      every 1h",
        "            next never",
        "  webhook   webhook /api/v1/hooks/github/sales: push, release; "
        'if event.data.ref == "refs/heads/main"',
        "  asset     all of the assets s3://a, s3://b",
        "  pipeline  pipeline ingest: succeeded",
        "  event     event com.example.* source x",
    ]
    assert any(line.startswith("  + triggers.asset: {") for line in lines)


def test_next_times_as_json(headway: Command, api: ApiDouble, file: str) -> None:
    Path(file).write_text(TRIGGERS + TEXT)
    api.on("GET /queues", Reply({"queues": [], "next": None}))
    [plan] = headway("plan", file, "--json").document["plans"]
    first, once, webhook, *_ = plan["triggers"]
    assert (first["name"], first["kind"]) == ("schedule", "schedule")
    assert first["schedule"]["timezone"] == "Europe/Paris"
    assert len(set(first["next"])) == 3
    assert all(re.fullmatch(r"\S+T0[01]:[03]0:00.000Z", each) for each in first["next"])
    assert first["next"] == sorted(first["next"])
    assert (once["next"], webhook["next"]) == ([], [])


def test_without_triggers_there_is_none(headway: Command, api: ApiDouble, file: str) -> None:
    api.on("GET /queues", Reply({"queues": [], "next": None}))
    assert "triggers" not in headway("plan", file).out
    assert headway("plan", file, "--json").document["plans"][0]["triggers"] == []
