"""A pipeline in Python and the same in YAML are one definition, to the digest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

import pytest

import headway
import headway.spec.definition as definition_keys
from headway import Expression, Handle, finally_, http, pipeline, python, shell, wait
from headway.authoring.definition import Definition
from headway.authoring.pipelines import PipelineKeys
from headway.authoring.steps import HttpKeys, StepKeys
from headway.authoring.values import WORDS
from headway.expressions import RESERVED
from headway.spec import load
from headway.spec.steps import KEYS

EXAMPLES = Path(__file__).parents[3] / "examples"


def digest_of_yaml(name: str) -> str:
    file = EXAMPLES / name / "pipeline.yaml"
    spec = load(file.read_bytes(), str(file)).spec
    assert spec is not None
    return spec.digest


@pipeline(
    team="demo",
    owner="kinds@example.com",
    description=("Asks a server whether it is alive, waits, asks again, and says what came back."),
    defaults={"resource_class": "small", "timeout": "1m"},
)
def kinds(
    url: Annotated[str, "What to ask; a coordinator by default."] = "http://127.0.0.1:8470/healthz",
) -> None:
    retry = {"max": 3, "delay": timedelta(seconds=1)}
    first = http(url, name="first", expect=[200], retry=retry, outputs={"status": int})
    rest = wait(timedelta(seconds=2), name="rest").after(first)
    second = http(
        url,
        name="second",
        method="GET",
        expect=[200],
        request_timeout="5s",
        outputs={"status": "int"},
    ).after(rest)
    shell(
        'echo "the server answered $FIRST, and after the wait $SECOND"',
        name="tell",
        env={"FIRST": first["status"], "SECOND": second["status"]},
    )


@pipeline(
    team="demo",
    owner="weather@example.com",
    code="examples/weather",
    timeout=timedelta(minutes=15),
    defaults={"class": "small", "timeout": "2m"},
)
def weather(
    unit: Annotated[Literal["celsius", "fahrenheit"], "The unit of every figure."] = "celsius",
    wet_day_mm: Annotated[float, "Rain from which a day counts as wet."] = 1.0,
    heat_c: Annotated[float, "Warmth from which the year gets a warning."] = 35.0,
) -> None:
    """Compares the weather of Seattle and San Francisco from hourly and daily readings."""
    check = shell("sh check.sh", name="check", outputs={"files": int, "rows": int})
    again = {"max": 2, "backoff": "fixed", "delay": "1s", "jitter": False}

    def fetch(city: str, file: str, env: dict[str, str]) -> Handle:
        return shell(
            f"sh fetch.sh {file}",
            name=f"fetch_{city}",
            env=env,
            retry=again,
            outputs={"bytes": int},
            artifacts=[file],
        ).after(check)

    def clean(city: str, raw: Handle, source: str, target: str) -> Handle:
        return python(
            "readings:clean",
            name=f"clean_{city}",
            resource_class="large",
            with_={"source": source, "target": target, "unit": unit},
            inputs={"raw": raw},
            outputs={"hours": int, "dropped": int, "missing": int},
            artifacts=[target],
        )

    def months(city: str, title: str, cleaned: Handle, stem: str) -> Handle:
        figures = {"mean": float, "highest": float, "lowest": float}
        return python(
            "months:summarise",
            name=f"months_{city}",
            resource_class="large",
            with_={"city": title, "source": f"{stem}.csv", "target": f"{stem}-months.csv"},
            inputs={"clean": cleaned.artifacts},
            outputs={"warmest_month": str, "coldest_month": str, **figures},
            artifacts=[f"{stem}-months.csv"],
        )

    raw_seattle = fetch("seattle", "seattle-temps.csv", {"DROPS_ON_ATTEMPT": "1"})
    raw_francisco = fetch("san_francisco", "sf-temps.csv", {})
    seattle = clean("seattle", raw_seattle, "seattle-temps.csv", "seattle.csv")
    francisco = clean("san_francisco", raw_francisco, "sf-temps.csv", "san-francisco.csv")
    months_seattle = months("seattle", "Seattle", seattle, "seattle")
    months_francisco = months("san_francisco", "San Francisco", francisco, "san-francisco")
    rain = python(
        "rain:summarise",
        name="rain_seattle",
        needs=[check],
        with_={
            "source": "seattle-weather.csv",
            "target": "seattle-rain.csv",
            "wet_day_mm": wet_day_mm,
        },
        outputs={"days": int, "wet_days": int, "wettest_month": str, "total_mm": float},
        artifacts=["seattle-rain.csv"],
    )
    compare = python(
        "comparison:join",
        name="compare",
        resource_class="large",
        inputs={"seattle": seattle, "san_francisco": francisco},
        outputs={"hours": int, "mean_difference": float, "seattle_warmer_percent": float},
        artifacts=["comparison.csv"],
    )
    # Within a pipeline a param is an expression, whatever its annotation says.
    assert isinstance(cast("object", heat_c), Expression)
    shell(
        'echo "Seattle reached $HIGHEST degrees"',
        name="heat_warning",
        env={"HIGHEST": months_seattle["highest"]},
        if_='params.unit == "celsius" && steps.months_seattle.outputs.highest >= params.heat_c',
    )
    python(
        "report:write",
        name="report",
        with_={
            "unit": unit,
            "wet_days": rain["wet_days"],
            "rain_days": rain["days"],
            "mean_difference": compare["mean_difference"],
        },
        inputs={"seattle": months_seattle, "san_francisco": months_francisco, "rain": rain},
        outputs={
            "headline": str,
            "warmest_in_seattle": str,
            "warmest_in_san_francisco": str,
        },
        artifacts=["report.html"],
    )
    with finally_():
        shell("sh cleanup.sh", name="cleanup")


@pytest.mark.parametrize(("name", "made"), [("kinds", kinds), ("weather", weather)])
def test_it_has_the_digest_of_the_yaml(name: str, made: headway.Pipeline) -> None:
    assert made.build().spec().digest == digest_of_yaml(name)


def test_every_key_of_a_definition_has_its_argument() -> None:
    renamed = {"resource_class": "class", "if_": "if"}
    step = {renamed.get(key, key) for key in StepKeys.__annotations__} - {"name"}
    assert step == KEYS.keys() - {"with"}, "`with` is what a function is called with"
    of_pipeline = {*PipelineKeys.__annotations__} - {"name"}
    written = {"headway", "pipeline", "params", "steps", "finally"}
    assert of_pipeline == definition_keys._KEYS.keys() - written
    assert {*HttpKeys.__annotations__} >= {"method", "headers", "json", "body", "expect"}


def test_the_words_of_expressions_are_those_of_the_reader() -> None:
    assert WORDS == RESERVED


@pipeline(
    team="demo",
    owner="o",
    triggers=[
        {
            "schedule": {
                "cron": "@daily",
                "timezone": "Europe/Paris",
                "jitter": timedelta(minutes=5),
            }
        },
        {
            "schedule": {"every": timedelta(hours=6), "start": datetime(2026, 1, 1, 6, tzinfo=UTC)},
            "if": headway.expression("run.logical_date.getDayOfWeek() != 0"),
            "params": {"day": headway.expression("run.data_interval_start")},
        },
        {
            "name": "pushed",
            "webhook": {"source": "github", "event": ["push"], "secret": "secret://hook"},
            "params": {"day": date(2026, 1, 31)},
            "dedupe": {"key": "${{ event.data.after }}", "window": "2h"},
        },
    ],
    overlap="skip",
    concurrency={"key": "${{ params.day }}", "limit": 2},
    notify=[{"on": "failed", "webhook": "secret://chat"}],
)
def started(day: Annotated[str, "The day."] = "${{ run.logical_date }}") -> None:
    shell("make", name="a", produces=["s3://warehouse/a"])


STARTED = """
headway: 1
pipeline: started
team: demo
owner: o
params: {day: {type: date, default: "${{ run.logical_date }}", description: The day.}}
triggers:
  - schedule: {cron: "0 0 * * *", timezone: Europe/Paris, jitter: 5m}
  - schedule: {every: 6h, start: 2026-01-01T06:00:00Z}
    if: run.logical_date.getDayOfWeek() != 0
    params: {day: "${{ run.data_interval_start }}"}
  - name: pushed
    webhook: {source: github, event: push, secret: secret://hook}
    params: {day: 2026-01-31}
    dedupe: {key: "${{ event.data.after }}", window: 2h}
overlap: skip
concurrency: {key: "${{ params.day }}", limit: 2}
notify: [{on: [failed], webhook: secret://chat}]
steps: {a: {run: make, produces: ["s3://warehouse/a"]}}
"""


def test_triggers_in_python_are_those_in_yaml() -> None:
    spec = load(STARTED, "f").spec
    assert spec is not None
    assert started.build().spec().digest == spec.digest
    assert Definition.from_yaml(started.build().to_yaml()).spec().digest == spec.digest


@headway.step(outputs={"rows": int})
def transform(part: str, region: str) -> dict[str, int]:
    return {"rows": len(part)}


@pipeline(team="demo", owner="o")
def spread(names: list[str] = ["a", "b"]) -> None:  # noqa: B006
    listed = shell("list", name="listed", outputs={"parts": "list"})
    done = transform.with_options(max_parallel=8, allow_failures="10%").map(
        listed["parts"], region="eu"
    )
    shell("report", name="report", env={"ROWS": done["rows"], "ALL": done.outputs})
    shell(
        "try",
        name="tried",
        matrix={"os": ["linux", "mac"], "n": names},
        env={"OS": headway.item["os"], "I": headway.index},
    )


SPREAD = f"""
headway: 1
pipeline: spread
team: demo
owner: o
params: {{names: {{type: list, default: [a, b]}}}}
steps:
  listed: {{run: list, outputs: {{parts: list}}}}
  transform:
    needs: [listed]
    foreach: "${{{{ steps.listed.outputs.parts }}}}"
    max_parallel: 8
    allow_failures: 10%
    python: {__name__}:transform
    with: {{part: "${{{{ item }}}}", region: eu}}
    outputs: {{rows: int}}
  report:
    needs: [transform]
    run: report
    env:
      ROWS: "${{{{ steps.transform.outputs.map(o, o.rows) }}}}"
      ALL: "${{{{ steps.transform.outputs }}}}"
  tried:
    matrix: {{os: [linux, mac], n: "${{{{ params.names }}}}"}}
    run: try
    env: {{OS: "${{{{ item.os }}}}", I: "${{{{ index }}}}"}}
"""


def test_steps_that_run_for_each_item_are_those_in_yaml() -> None:
    spec = load(SPREAD, "f").spec
    assert spec is not None
    assert spread.build().spec().digest == spec.digest
    assert Definition.from_yaml(spread.build().to_yaml()).spec().digest == spec.digest
