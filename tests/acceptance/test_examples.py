"""The examples are valid, and their steps compute what they say when they are performed for real.

Each step runs as a worker would run it: its own scratch folder, the code as current directory,
values by the environment, files of earlier steps as inputs. The figures are checked against a
second computation from the raw readings.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from headway.expressions import evaluate, resolve
from headway.plan import Kind, Plan, PlanStep, build
from headway.spec import bind_params, load

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/pipeline.yaml"))
RUN = {
    "id": "01kf0000000000000000000001",
    "pipeline": "weather",
    "team": "demo",
    "logical_date": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_an_example_is_valid(file: Path) -> None:
    loaded = load(file.read_bytes(), str(file))
    assert loaded.problems == ()
    assert loaded.spec is not None
    code = build(loaded.spec.canonical).code
    assert code is None or (ROOT / code).is_dir()


@dataclass
class Outcome:
    """How a step ended here."""

    state: str
    attempts: int = 0
    outputs: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    log: str = ""


@dataclass
class Performance:
    """Performs the steps of a plan one after another, in this process's own temporary folder."""

    plan: Plan
    folder: Path
    params: dict[str, Any]
    done: dict[str, Outcome] = field(default_factory=dict)

    def run(self) -> dict[str, Outcome]:
        for step in self.plan.steps:
            self.done[step.key] = self._step(step)
        return self.done

    def _step(self, step: PlanStep) -> Outcome:
        if step.condition and not evaluate(step.condition, self._context()):
            return Outcome("skipped")
        outcome = Outcome("failed")
        while outcome.state == "failed" and outcome.attempts <= step.retry.max:
            outcome = self._attempt(step, outcome.attempts + 1)
        return outcome

    def _attempt(self, step: PlanStep, no: int) -> Outcome:
        place = self.folder / f"{step.key}-{no}"
        work = place / "work"
        work.mkdir(parents=True)
        for name, source in (step.body.get("inputs") or {}).items():
            self._give(place / "inputs" / name, source)
        process = subprocess.run(
            self._command(step),
            cwd=ROOT / (self.plan.code or "."),
            env=self._environment(step, place, no),
            capture_output=True,
            text=True,
            timeout=60,
        )
        log = process.stdout + process.stderr
        if process.returncode != 0:
            return Outcome("failed", no, log=log)
        outputs = self._outputs(step, place / "outputs", process.stdout)
        assert outputs.keys() == dict(step.body["outputs"]).keys()
        kept = {name: (work / name).read_bytes() for name in step.body["artifacts"]}
        return Outcome("succeeded", no, outputs, kept, log)

    def _give(self, folder: Path, source: str) -> None:
        step = source.split(".")[1]
        folder.mkdir(parents=True)
        for name, content in self.done[step].artifacts.items():
            (folder / name).write_bytes(content)

    def _command(self, step: PlanStep) -> list[str]:
        if step.kind is Kind.RUN:
            return ["/bin/sh", "-ec", step.body["run"]]
        module, function = step.body["python"].split(":")
        given = json.dumps(self._resolved(step.body["with"]))
        script = (
            f"import json, sys; sys.path.insert(0, '.'); import {module};"
            f"print('\\n' + json.dumps({module}.{function}(**json.loads(sys.argv[1]))))"
        )
        return [sys.executable, "-B", "-c", script, given]

    def _environment(self, step: PlanStep, place: Path, no: int) -> dict[str, str]:
        given = self._resolved(step.body.get("env") or {})
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder),
            "HEADWAY_RUN": RUN["id"],
            "HEADWAY_ATTEMPT": str(no),
            "HEADWAY_CODE": str(ROOT / (self.plan.code or ".")),
            "HEADWAY_WORKDIR": str(place / "work"),
            "HEADWAY_INPUTS": str(place / "inputs"),
            "HEADWAY_OUTPUT": str(place / "outputs"),
            **{name: str(value) for name, value in given.items()},
        }

    def _outputs(self, step: PlanStep, file: Path, said: str) -> dict[str, Any]:
        if step.kind is Kind.PYTHON:
            result: dict[str, Any] = json.loads(said.splitlines()[-1])
            return result
        lines = file.read_text().splitlines() if file.exists() else []
        return {name: int(value) for name, _, value in (line.partition("=") for line in lines)}

    def _resolved(self, value: Any) -> Any:
        return resolve(value, lambda source: evaluate(source, self._context()))

    def _context(self) -> dict[str, Any]:
        steps = {
            name: {"state": done.state, "outputs": done.outputs, "artifacts": []}
            for name, done in self.done.items()
        }
        return {"params": self.params, "steps": steps, "run": RUN}


def perform(folder: Path, **params: Any) -> dict[str, Outcome]:
    file = ROOT / "examples" / "weather" / "pipeline.yaml"
    spec = load(file.read_bytes(), str(file)).spec
    assert spec is not None
    plan = build(spec.canonical)
    return Performance(plan, folder, bind_params(spec, params, RUN)).run()


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return perform(tmp_path_factory.mktemp("weather"))


def raw(name: str) -> list[dict[str, str]]:
    with (ROOT / "examples" / "weather" / "data" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def means_by_month(name: str) -> dict[int, float]:
    by_month = defaultdict(list)
    for row in raw(name):
        by_month[int(row["date"][5:7])].append((float(row["temp"]) - 32) / 1.8)
    return {month: fmean(temperatures) for month, temperatures in by_month.items()}


def test_every_step_ends_as_told(weather: dict[str, Outcome]) -> None:
    states = {name: outcome.state for name, outcome in weather.items()}
    skipped = [name for name, state in states.items() if state == "skipped"]
    assert skipped == ["heat_warning"]
    assert {state for name, state in states.items() if name not in skipped} == {"succeeded"}, {
        name: outcome.log for name, outcome in weather.items() if outcome.state == "failed"
    }


def test_one_step_fails_once_and_no_other(weather: dict[str, Outcome]) -> None:
    again = {name: each.attempts for name, each in weather.items() if each.attempts > 1}
    assert again == {"fetch_seattle": 2}
    size = (ROOT / "examples/weather/data/seattle-temps.csv").stat().st_size
    assert f"bytes {size // 2} to {size} of {size}" in weather["fetch_seattle"].log


def test_the_fetched_file_is_whole(weather: dict[str, Outcome]) -> None:
    original = (ROOT / "examples/weather/data/seattle-temps.csv").read_bytes()
    assert weather["fetch_seattle"].artifacts["seattle-temps.csv"] == original
    assert weather["check"].outputs == {"files": 3, "rows": 8759 + 8759 + 1461}


@pytest.mark.parametrize(
    ("step", "file"),
    [("months_seattle", "seattle-temps.csv"), ("months_san_francisco", "sf-temps.csv")],
)
def test_months(weather: dict[str, Outcome], step: str, file: str) -> None:
    means = means_by_month(file)
    (content,) = weather[step].artifacts.values()
    rows = list(csv.DictReader(content.decode().splitlines()))
    found = {int(row["month"]): float(row["mean"]) for row in rows}
    assert found == pytest.approx(means, abs=0.02)
    names = ["January", "February", "March", "April", "May", "June", "July", "August"]
    names += ["September", "October", "November", "December"]
    warmest = max(means, key=means.__getitem__)
    assert weather[step].outputs["warmest_month"] == names[warmest - 1]


def test_the_comparison(weather: dict[str, Outcome]) -> None:
    seattle = {row["date"][:13]: float(row["temp"]) for row in raw("seattle-temps.csv")}
    other = {row["date"][:13]: float(row["temp"]) for row in raw("sf-temps.csv")}
    both = seattle.keys() & other.keys()
    outputs = weather["compare"].outputs
    assert outputs["hours"] == len(both) == 8759
    difference = fmean(seattle[hour] - other[hour] for hour in both) / 1.8
    assert outputs["mean_difference"] == pytest.approx(difference, abs=0.02)


def test_rain(weather: dict[str, Outcome]) -> None:
    days = [float(row["precipitation"]) for row in raw("seattle-weather.csv")]
    outputs = weather["rain_seattle"].outputs
    assert outputs["days"] == len(days)
    assert outputs["wet_days"] == sum(day >= 1.0 for day in days)
    assert outputs["total_mm"] == pytest.approx(sum(days), abs=0.1)


def test_the_report_is_a_page_with_a_chart(weather: dict[str, Outcome]) -> None:
    page = weather["report"].artifacts["report.html"].decode()
    chart = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]
    lines = ElementTree.fromstring(chart).findall("polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [12, 12]
    assert weather["report"].outputs["headline"] in page
    assert "://" not in page  # nothing is loaded from elsewhere


def test_nothing_stays_behind(weather: dict[str, Outcome], tmp_path: Path) -> None:
    assert weather["cleanup"].state == "succeeded"
    perform(tmp_path, unit="fahrenheit")
    assert list(tmp_path.glob("headway-weather-*")) == []


def test_a_parameter_changes_the_result(weather: dict[str, Outcome], tmp_path: Path) -> None:
    other = perform(tmp_path, unit="fahrenheit", wet_day_mm="10")
    celsius = weather["compare"].outputs["mean_difference"]
    assert other["compare"].outputs["mean_difference"] == pytest.approx(celsius * 1.8, abs=0.02)
    assert other["rain_seattle"].outputs["wet_days"] < weather["rain_seattle"].outputs["wet_days"]
    assert "°F" in other["report"].outputs["headline"]
