"""`validate` and `apply`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply, problem

GOOD = """\
headway: 1
pipeline: good
team: demo
owner: me@example.com
steps:
  hello: {run: echo hello}
"""
BAD = GOOD.replace("pipeline: good", "pipeline: Bad").replace("run:", "rnu:")


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return str(file)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    return str(file)


def test_valid(headway: Command, good: str) -> None:
    text = headway("validate", good)
    assert text.status == 0
    assert text.out.startswith("demo/good is valid")
    document = headway("validate", good, "--json").document
    (pipeline,) = document["pipelines"]
    assert document["valid"] is True
    assert document["problems"] == []
    assert (pipeline["pipeline"], pipeline["team"]) == ("good", "demo")
    assert len(pipeline["digest"]) == 64


def test_every_mistake_of_every_file_with_its_place(headway: Command, good: str, bad: str) -> None:
    done = headway("validate", good, bad, "--json")
    assert done.status == 2
    assert done.document["valid"] is False
    places = [(p["file"], p["line"], p["column"]) for p in done.document["problems"]]
    assert (bad, 2, 11) in places
    assert {file for file, _, _ in places} == {bad}
    assert {line for _, line, _ in places} >= {2, 6}
    lines = headway("validate", good, bad).err.splitlines()
    assert lines[0].startswith(f"{bad}:2:11: ")
    assert len(lines) == len(places)


def test_validate_reads_stdin(headway: Command, monkeypatch: pytest.MonkeyPatch, good: str) -> None:
    with Path(good).open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert headway("validate", "-").status == 0


def test_a_file_that_is_not_text(headway: Command, tmp_path: Path) -> None:
    file = tmp_path / "noise.yaml"
    file.write_bytes(b"a: \xff\xfe\x00")
    done = headway("validate", str(file))
    assert done.status == 2
    assert done.err.startswith(f"{file}:1:4: ")


def test_apply(headway: Command, api: ApiDouble, good: str) -> None:
    row = {"pipeline": "good", "team": "demo", "digest": "d" * 64, "version": 1, "changed": True}
    api.on("POST /pipelines", Reply({"applied": [row]}))
    assert headway("apply", good, "--json").document == {"applied": [row]}
    assert api.asked[0].body == {"files": [{"name": good, "text": GOOD}]}
    assert "new version" in headway("apply", good).out


def test_apply_warns_of_secrets_that_are_not_set(
    headway: Command, api: ApiDouble, good: str
) -> None:
    warning = {"message": "team demo has no secret `x`", "hint": "headway secret set x"}
    api.on("POST /pipelines", Reply({"applied": [], "warnings": [warning]}))
    done = headway("apply", good, "--json")
    assert done.status == 0
    assert done.err == "warning: team demo has no secret `x` (headway secret set x)\n"
    assert done.document["warnings"] == [warning]


def test_apply_asks_nobody_when_one_file_is_wrong(
    headway: Command, api: ApiDouble, good: str, bad: str
) -> None:
    done = headway("apply", good, bad, "--json")
    assert done.status == 2
    assert done.document["error"]["code"] == "invalid_definition"
    assert done.document["error"]["problems"][0]["file"] == bad
    assert api.asked == []


def test_what_the_server_refuses_has_its_place_too(
    headway: Command, api: ApiDouble, good: str
) -> None:
    place = {"file": good, "line": 3, "column": 7, "code": "unknown_team", "message": "no team"}
    api.on("POST /pipelines", problem(422, "invalid_definition", "wrong", problems=[place]))
    done = headway("apply", good)
    assert done.status == 2
    assert done.err == f"{good}:3:7: no team\n"


def test_a_file_that_cannot_be_read_hides_no_mistake_of_another(
    headway: Command, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("steps: {a: {rnu: x}}\n")
    done = headway("validate", str(tmp_path / "none.yaml"), str(tmp_path / "bad.yaml"), "--json")
    assert done.status == 2
    problems = json.loads(done.out)["problems"]
    assert problems[0]["code"] == "unreadable_file"
    assert "unknown_key" in {problem["code"] for problem in problems[1:]}
