"""Functions under `@step`, in an interpreter with Headway and in one that has never heard of it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.clock import SystemClock
from headway_worker.runner.interpreters import Interpreters, Key
from headway_worker.runner.spawner import Spawner

ENV = {"PATH": os.environ["PATH"]}
CODE = """
from __future__ import annotations
import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Dict, List, Optional

from headway import Handle, expression, finally_, has, http, pipeline, python, shell, step, wait

class Region(Enum):
    EU = "eu"

@dataclass
class Limits:
    most: int = 3
    until: Optional[date] = None

@step
def whose():
    import headway
    return {"own": headway.__version__ == "0", "heavy": "yaml" in sys.modules}

@step(resource_class="small", retry=3)
def typed(day: date, at: datetime, wide: timedelta, region: Region, limits: Limits,
          days: List[date], some: Optional[Dict[str, timedelta]] = None, plain=None):
    return {
        "kinds": [type(x).__name__ for x in (day, at, wide, region, limits, days[0])],
        "until": limits.until, "some": some, "plain": plain, "day": day, "wide": wide * 2,
        "region": region, "limits": limits, "at": at,
    }

again = typed.with_options(name="again")

@step
def boom(day: date = None):
    raise ValueError("the reason")

@step
async def later(n: float):
    return {"n": n, "type": type(n).__name__}

def undecorated(day: date):
    return {"type": type(day).__name__}

@pipeline(team="demo", owner="me@example.com")
def flow(day: date = "${{ run.logical_date }}"):
    with finally_():
        shell("true", name="end")
"""
GIVEN = {
    "day": "2026-01-31",
    "at": "2026-01-31T06:00:00Z",
    "wide": "1h30m",
    "region": "eu",
    "limits": {"until": "2026-02-01"},
    "days": ["2026-01-30"],
    "some": {"a": "5m"},
    "plain": "2026-01-31",
}


class Kept:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def is_full(self) -> bool:
        return False


class Team:
    def __init__(self, spawner: Spawner, folder: Path, program: str) -> None:
        self._folder, self._program = str(folder), program
        self.interpreters = Interpreters(spawner, ENV, SystemClock(), keep=1)
        self.log = Kept()

    def add(self, code: str) -> None:
        """Write the module anew."""
        (Path(self._folder) / "flow.py").write_text(code)

    def call(self, name: str, **given: Any) -> dict[str, Any]:
        interpreter = self.interpreters.take(Key("d", self._program, self._folder))
        self.log = Kept()
        places = {"env": ENV, "cwd": self._folder, "path": self._folder}
        reply = interpreter.call({"call": f"flow:{name}", "with": given, **places}, self.log)
        if interpreter.is_spent:
            interpreter.process.close()
        else:
            self.interpreters.give_back(interpreter)
        return reply or {}


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter in which Headway is not installed, nor anything else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    program = str(folder / "bin" / "python")
    ask = "import importlib.util as u, sys; sys.exit(u.find_spec('headway') is not None)"
    subprocess.run([program, "-c", ask], check=True, env=ENV)
    return program


@pytest.fixture(params=["ours", "bare"])
def team(request: pytest.FixtureRequest, tmp_path: Path, bare: str) -> Iterator[Team]:
    (tmp_path / "flow.py").write_text(CODE)
    spawner = Spawner()
    spawner.start()
    made = Team(spawner, tmp_path, sys.executable if request.param == "ours" else bare)
    yield made
    made.interpreters.close()
    spawner.close()


@pytest.mark.parametrize("team", ["ours"], indirect=True)
def test_an_installed_headway_is_found_before_the_stand_in(team: Team) -> None:
    assert team.call("whose") == {"ok": {"own": False, "heavy": False}}


@pytest.mark.parametrize("team", ["bare"], indirect=True)
def test_a_stand_in_answers_where_headway_is_missing(team: Team) -> None:
    assert team.call("whose") == {"ok": {"own": True, "heavy": False}}


@pytest.mark.parametrize("name", ["typed", "again"])
def test_arguments_and_results_are_what_the_annotations_say(team: Team, name: str) -> None:
    assert team.call(name, **GIVEN) == {
        "ok": {
            "kinds": ["date", "datetime", "timedelta", "Region", "Limits", "date"],
            "until": "2026-02-01",
            "some": {"a": "5m"},
            "plain": "2026-01-31",
            "day": "2026-01-31",
            "wide": "3h",
            "region": "eu",
            "limits": {"most": 3, "until": "2026-02-01"},
            "at": "2026-01-31T06:00:00Z",
        }
    }


@pytest.mark.parametrize("team", ["ours"], indirect=True)
def test_models_of_pydantic_are_validated_and_dumped(team: Team) -> None:
    team.add(
        "from datetime import date\nimport pydantic\nfrom headway import step\n"
        "class Window(pydantic.BaseModel):\n    start: date\n    days: int = 7\n"
        "@step\ndef moved(window: Window, by: int) -> Window:\n"
        "    return Window(start=window.start.replace(day=by), days=window.days)\n"
    )
    window = {"start": "2026-01-31"}
    moved = {"ok": {"start": "2026-01-02", "days": 7}}
    assert team.call("moved", window=window, by=2) == moved
    refused = team.call("moved", window={"start": "soon"}, by=2)["error"]
    assert refused["code"] == "bad_arguments"
    assert "`window` cannot be made of" in refused["message"]


def test_only_decorated_functions_get_more_than_json(team: Team) -> None:
    assert team.call("undecorated", day="2026-01-31") == {"ok": {"type": "str"}}
    assert team.call("later", n=3) == {"ok": {"n": 3.0, "type": "float"}}


def test_failures_are_those_of_the_function_itself(team: Team) -> None:
    failed = team.call("boom")["error"]
    assert (failed["code"], failed["message"]) == ("exception", "ValueError: the reason")
    assert failed["traceback"].count('File "') == 1
    assert team.call("boom", days=1)["error"]["code"] == "bad_arguments"
    wrong = team.call("boom", day="soon")["error"]
    assert wrong["code"] == "bad_arguments"
    assert "`day` cannot be made of 'soon'" in wrong["message"]


def test_a_pipeline_is_not_built_here(team: Team) -> None:
    assert team.call("flow")["error"]["code"] == "exception"
