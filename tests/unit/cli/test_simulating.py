"""`headway simulate` and `headway test`: documents, text, statuses, and words for every mistake."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Command

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "simulate.md").read_text(encoding="utf-8")
HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"
TEXT = (
    HEAD + "params: {n: {type: int, default: 1}}\n"
    "steps:\n"
    "  load: {run: x, outputs: {rows: int}, retry: {max: 1, delay: 5s, jitter: false}}\n"
    "  publish: {run: x, needs: [load], if: steps.load.outputs.rows > params.n}\n"
    "  nap: {wait: 1m}\n"
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "p.yaml"
    path.write_text(TEXT)
    return str(path)


def test_the_document_is_the_fixed_one(headway: Command, file: str) -> None:
    date = "2026-01-31T06:00:00Z"
    done = headway("simulate", file, "--outcome", "load#1=failed", "--logical-date", date, "--json")
    assert done.status == 0
    found = done.document
    assert (found["state"], found["makespan_s"]) == ("succeeded", 60.0)
    assert found["steps"]["load"] == {
        "state": "succeeded",
        "reason": None,
        "started_s": 0.0,
        "finished_s": 7.0,
        "attempts": 2,
    }
    assert found["steps"]["publish"] == {
        "state": "skipped",
        "reason": "if",
        "started_s": None,
        "finished_s": 7.0,
        "attempts": 0,
    }
    assert list(found["steps"]) == ["load", "nap", "publish"]
    assert found["critical_path"] == ["nap"]
    assert found["waits"] == {"load": [{"code": "retry_at", "seconds": 5.0, "subject": "load"}]}
    assert found["assumed"] == {
        "logical_date": "2026-01-31T06:00:00.000Z",
        "params": {"n": 1},
        "slots": {"default": 4},
        "duration_s": 1.0,
        "example_outputs": ["load"],
    }


def test_all_options_together(headway: Command, file: str) -> None:
    options = ["-p", "n=2", "--output", 'load={"rows": 3}', "--duration", "load=10s"]
    options += ["--duration", "publish=20s", "--slots", "default=1", "--outcome", "publish=failed"]
    done = headway("simulate", file, *options, "--json")
    assert done.status == 1
    found = done.document
    assert found["state"] == "failed"
    assert found["steps"]["publish"]["started_s"] == 10.0
    assert found["steps"]["publish"]["finished_s"] == 30.0
    assert found["assumed"]["slots"] == {"default": 1}
    assert found["assumed"]["example_outputs"] == []


def test_a_run_that_can_never_go_on(headway: Command, file: str) -> None:
    done = headway("simulate", file, "--slots", "default=0")
    assert done.status == 1
    assert "running after 1m: it can never go on" in done.out
    assert re.search(r"load +◷ ready +no_worker", done.out)
    assert "0 slots of default;" in done.out


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["--outcome", "laod=failed"], "--outcome laod=failed: there is no step", "`load`?"),
        (["--outcome", "load=faild"], "an outcome cannot be `faild`", "`failed`?"),
        (["--outcome", "load"], "not of the form STEP=OUTCOME", "--outcome STEP=OUTCOME"),
        (["--outcome", "load#x=failed"], "no number of an attempt", "load#1"),
        (["--outcome", "nap=failed"], "is a `wait` step", "skipped"),
        (["--output", "load={"], "--output load={: not YAML", "bracket or brace"),
        (["--output", "load="], "there is nothing behind the `=`", '{"n": 1}'),
        (["--output", "load=[1]"], "must be a mapping", "write each under its name"),
        (["--output", 'load={"rwos": 1}'], "no output `rwos`", "`rows`?"),
        (["--output", 'load={"rows": "x"}'], "must be of type int", "type int"),
        (["--duration", "load=90"], "is not a duration", "write 90s"),
        (["--duration", "nap=90s"], "takes the time that it says", "leave it out"),
        (["--slots", "default=many"], "slots must be a whole number", "write it bare"),
        (["--slots", "defualt=1"], "no step is of the class", "`default`?"),
        (["--logical-date", "today"], "--logical-date: `today` is not a time", "2026-01-31T"),
        (["-p", "m=1"], "the pipeline has no param `m`", "it has: n"),
        (["--pipeline", "q"], "defines no `q`", "it defines: p"),
    ],
)
def test_a_mistake_names_its_option_and_the_mend(
    headway: Command, file: str, options: list[str], message: str, hint: str
) -> None:
    done = headway("simulate", file, *options)
    assert done.status == 2
    assert done.out == ""
    assert message in done.err
    assert hint in done.err


def test_one_of_several_pipelines(headway: Command, tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(f"{TEXT}---\n{TEXT.replace('pipeline: p', 'pipeline: other')}")
    done = headway("simulate", str(path))
    assert done.status == 2
    assert "say which one by --pipeline NAME; it defines: p, other" in done.err
    done = headway("simulate", str(path), "--pipeline", "other", "--json")
    assert done.status == 0
    assert done.document["pipeline"] == "other"


def test_a_pipeline_in_python(headway: Command, tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    path.write_text(
        "from headway import pipeline, shell\n\n"
        'EXPECT = {"state": "failed", "steps": {"load": "failed"}}\n'
        'TESTS = [{"name": "it fails", "outcomes": {"load": "failed"}, "expect": EXPECT}]\n\n\n'
        '@pipeline(team="t", owner="o", tests=TESTS)\n'
        "def made():\n"
        '    shell("x", name="load")\n'
    )
    assert headway("simulate", str(path), "--outcome", "load=failed").status == 1
    done = headway("test", str(path))
    assert (done.status, done.out) == (0, "ok      t/made: it fails\n1 test, all ok\n")


def test_a_mistake_in_a_test_has_its_place(headway: Command, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        TEXT + "tests: [{name: x, outcomes: {laod: failed}, expect: {state: failed}}]\n"
    )
    for command in ("test", "validate", "simulate"):
        done = headway(command, str(path))
        assert done.status == 2
        assert f"{path}:10:30: there is no step `laod` (did you mean `load`?)" in done.err


def test_tests_that_are_met_and_not_met(headway: Command, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        TEXT + "tests:\n"
        "  - {name: few rows, outputs: {load: {rows: 1}}, expect: {steps: {publish: skipped}}}\n"
        "  - {name: many rows, outputs: {load: {rows: 9}}, expect: {steps: {publish: skipped}}}\n"
        "  - {name: late, logical_date: '9999-12-31T23:59:59Z', expect: {state: succeeded}}\n"
    )
    done = headway("test", str(path))
    assert done.status == 1
    assert done.out == (
        "ok      t/p: few rows\n"
        "FAILED  t/p: many rows\n"
        "        publish: state is succeeded, not skipped\n"
        "FAILED  t/p: late\n"
        "        it cannot be run: the run goes on beyond the year 9999\n"
        "3 tests, 2 failed\n"
    )
    document = headway("test", str(path), "--json").document
    assert document["passed"] is False
    assert document["tests"][1] == {
        "pipeline": "p",
        "team": "t",
        "name": "many rows",
        "passed": False,
        "differences": ["publish: state is succeeded, not skipped"],
        "state": "succeeded",
        "makespan_s": 60.0,
    }


def test_files_without_tests_are_wrong_use(headway: Command, file: str) -> None:
    done = headway("test", file, "--json")
    assert done.status == 2
    assert done.document["error"]["code"] == "no_tests"


EXAMPLES = [
    path
    for path in sorted((ROOT / "examples").rglob("*.yaml"))
    if "\ntests:" in path.read_text(encoding="utf-8")
]


def test_the_tests_of_the_examples_are_met(headway: Command) -> None:
    assert EXAMPLES
    done = headway("test", *map(str, EXAMPLES))
    assert done.status == 0, done.out


def test_the_page_says_what_the_commands_say(headway: Command, tmp_path: Path) -> None:
    definition, tests = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    [command] = re.findall(r"```sh\nheadway (simulate .*?)```", PAGE, re.DOTALL)
    [shown] = re.findall(r"```\n(analytics/daily-sales .*?)```", PAGE, re.DOTALL)
    path = tmp_path / "pipeline.yaml"
    path.write_text(definition + tests)
    done = headway(*command.replace("\\\n", "").replace("pipeline.yaml", str(path)).split())
    assert done.out == shown
    assert headway("test", str(path)).status == 0


@pytest.mark.parametrize("command", ["simulate", "test"])
def test_a_missing_extra_is_named(
    headway: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def none(**_: Any) -> list[metadata.EntryPoint]:
        return []

    monkeypatch.setattr("headway.cli.simulator.entry_points", none)
    done = headway(command, str(ROOT / "examples" / "nightly" / "pipeline.yaml"))
    assert done.status == 2
    assert f"`headway {command}` needs `coordinator`" in done.err
    assert "pip install 'headway[coordinator]'" in done.err
