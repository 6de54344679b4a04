"""Commands that read a pipeline in Python as they read YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.spec import load
from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply

GOOD = """\
from headway import pipeline, step
print("read")

@step
def load(n: int): ...

@pipeline(team="demo", owner="me@example.com")
def good(n: int = 3):
    load(n)
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "good.py"
    file.write_text(GOOD)
    return str(file)


def test_validate(headway: Command, good: str) -> None:
    done = headway("validate", good, "--json")
    assert done.status == 0
    assert [one["pipeline"] for one in done.document["pipelines"]] == ["good"]
    assert done.err == "read\n"


def test_a_mistake_has_its_place_and_no_traceback(headway: Command, good: str) -> None:
    Path(good).write_text(GOOD.replace("load(n)\n", "load(m=1)\n"))
    done = headway("validate", good)
    assert done.status == 2
    assert f"{good}:9:5: `load` does not take these arguments" in done.err
    assert "Traceback" not in done.err


def test_a_file_that_is_not_there(headway: Command, tmp_path: Path) -> None:
    done = headway("validate", str(tmp_path / "none.py"), "--json")
    assert done.status == 2
    assert done.document["error"]["code"] == "unreadable_file"


def test_apply_sends_what_yaml_would_be(headway: Command, api: ApiDouble, good: str) -> None:
    row = {"pipeline": "good", "team": "demo", "digest": "d" * 64, "version": 1, "changed": True}
    api.on("POST /pipelines", Reply({"applied": [row]}))
    done = headway("apply", good, "--json")
    assert done.document == {"applied": [row]}
    [file] = api.asked[0].body["files"]
    assert file["name"] == good
    sent = load(file["text"], "f").spec
    digest = headway("validate", good, "--json").document["pipelines"][0]["digest"]
    assert sent is not None
    assert sent.digest == digest


def test_run_applies_the_file_first(headway: Command, api: ApiDouble, good: str) -> None:
    api.on("POST /pipelines", Reply({"applied": []}))
    started = {"id": "r" * 26, "pipeline": "good", "state": "queued", "created": True}
    api.on("POST /runs", Reply(started))
    done = headway("run", good, "--json")
    assert done.document == started
    assert [asked.path.rpartition("/")[2] for asked in api.asked] == ["pipelines", "runs"]
