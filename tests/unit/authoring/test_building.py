"""What calls inside a pipeline function make, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import pydantic
import pytest

from headway import (
    AuthoringError,
    Pipeline,
    expression,
    finally_,
    has,
    http,
    pipeline,
    shell,
    step,
    wait,
)
from headway.authoring.annotations import Unmappable, declared
from headway.authoring.definition import Definition


class Rows(TypedDict):
    rows: int
    parts: list[str]


class Region(Enum):
    EU = "eu"
    US = "us"


class Window(pydantic.BaseModel):
    days: int = 7
    start: date = date(2026, 1, 31)


@dataclass
class Limits:
    most: int = 3


@step(resource_class="io", retry=2, env={"LANG": "C"})
def extract(day: date, region: str = "eu", **more: Any) -> Rows:
    return {"rows": len(region), "parts": [str(day), *more]}


@step
def load(rows: int, title: str = "") -> dict[str, int]:
    return {"loaded": rows}


def made(function: Callable[..., Any], **keys: Any) -> Definition:
    definition = pipeline(team="demo", owner="me@example.com", **keys)(function).build()
    assert isinstance(definition, Definition)
    return definition


def refused(function: Callable[..., Any], **keys: Any) -> tuple[str, str]:
    with pytest.raises(AuthoringError) as caught:
        made(function, **keys)
    [problem] = caught.value.problems
    assert problem.file == __file__
    assert problem.hint
    return problem.code, problem.message


def test_a_call_makes_a_step_and_an_output_an_edge() -> None:
    def sales(day: date = date(2026, 1, 31)) -> None:
        rows = extract(day, region="us", extra=3)
        load(rows["rows"], f"Sales of {day}")

    steps = made(sales).steps
    assert steps["extract"] == {
        "python": f"{__name__}:extract",
        "with": {"day": "${{ params.day }}", "region": "us", "extra": 3},
        "class": "io",
        "retry": 2,
        "env": {"LANG": "C"},
        "outputs": {"rows": "int", "parts": "list"},
    }
    assert steps["load"]["needs"] == ["extract"]
    assert steps["load"]["with"] == {
        "rows": "${{ steps.extract.outputs.rows }}",
        "title": "Sales of ${{ params.day }}",
    }


def test_outside_a_pipeline_a_step_is_its_function() -> None:
    assert load(3) == {"loaded": 3}
    assert load.with_options(retry=1)(rows=4) == {"loaded": 4}
    assert load.__name__ == "load"


def test_the_same_step_twice_gets_a_number_and_a_chosen_name_must_be_free() -> None:
    def numbered() -> None:
        load(1)
        load(2)
        load.with_options(name="load_3", timeout=timedelta(hours=1, minutes=30))(3)
        load(4)

    steps = made(numbered).steps
    assert list(steps) == ["load", "load_2", "load_3", "load_4"]
    assert steps["load_3"]["timeout"] == "1h30m"

    def doubled() -> None:
        shell("true", name="once")
        shell("true", name="once")

    assert refused(doubled)[0] == "duplicate_step"


def test_order_conditions_and_finally() -> None:
    def whole() -> None:
        first = extract(date(2026, 1, 31))
        settled = wait("10m", name="settle").after(first)
        second = load(first["rows"]).after(settled, "extract").when("all_done")
        load(1).when((first["rows"] > 0) & ~(first["parts"][0] == "x"))
        load(1).if_("steps.extract.outputs.rows > 1")
        with finally_():
            end = shell("rm -rf x", name="cleanup", env={"STATE": second.state})
            shell("true", name="tell").after(end)

    definition = made(whole)
    steps = definition.steps
    assert steps["settle"] == {"wait": {"for": "10m"}, "needs": ["extract"]}
    assert steps["load"]["needs"] == ["settle", "extract"]
    assert steps["load"]["when"] == "all_done"
    condition = '(steps.extract.outputs.rows > 0) && !(steps.extract.outputs.parts[0] == "x")'
    assert steps["load_2"]["if"] == condition
    assert steps["load_2"]["needs"] == steps["load_3"]["needs"] == ["extract"]
    assert definition.finally_["cleanup"] == {
        "run": "rm -rf x",
        "env": {"STATE": "${{ steps.load.state }}"},
    }
    assert definition.finally_["tell"]["needs"] == ["cleanup"]
    definition.spec()


def test_text_about_steps_is_no_reference() -> None:
    def quoted() -> None:
        first = extract(date(2026, 1, 31))
        shell(
            "true", name="a", env={"A": "steps.extract is text", "B": "${{ 'see steps.extract' }}"}
        )
        shell("true", name="b", env={"A": 'x ${{ {"a": {"b": steps.extract.outputs.rows}} }}'})
        shell("true", name="c", env={"A": f"{first['rows']} of {first.state}"})

    steps = made(quoted).steps
    assert "needs" not in steps["a"]
    assert steps["b"]["needs"] == steps["c"]["needs"] == ["extract"]


def test_handles_stand_for_outputs_and_in_inputs_for_artifacts() -> None:
    def handed() -> None:
        first = extract(date(2026, 1, 31))
        http("https://example.com", name="tell", method="POST", json={"all": first, "n": [1.5]})
        load.with_options(inputs={"raw": first})(rows=1)

    steps = made(handed).steps
    assert steps["tell"]["http"]["json"] == {"all": "${{ steps.extract.outputs }}", "n": [1.5]}
    assert steps["load"]["inputs"] == {"raw": "${{ steps.extract.artifacts }}"}


def test_params_of_every_type() -> None:
    # `guessed` has no annotation on purpose: its type is to be guessed from its default.
    def typed(  # type: ignore[no-untyped-def]
        text: str,
        whole: int = 3,
        part: float = 1.5,
        yes: bool = True,
        day: date = "${{ run.logical_date }}",  # type: ignore[assignment]
        at: datetime = datetime(2026, 1, 31, 6, tzinfo=UTC),
        long: timedelta = timedelta(hours=36),
        some: list[int] = [1, 2],  # noqa: B006
        many: dict[str, int] | None = None,
        region: Region = Region.EU,
        mode: Annotated[Literal["full", "part"], "How much."] = "full",
        window: Window = Window(),  # noqa: B008
        limits: Limits = Limits(),  # noqa: B008
        guessed="x",
    ) -> None:
        shell("true", name="a", env={"REGION": region})

    definition = made(typed)
    assert definition.params == {
        "text": {"type": "string"},
        "whole": {"type": "int", "default": 3},
        "part": {"type": "float", "default": 1.5},
        "yes": {"type": "bool", "default": True},
        "day": {"type": "date", "default": "${{ run.logical_date }}"},
        "at": {"type": "datetime", "default": "2026-01-31T06:00:00Z"},
        "long": {"type": "duration", "default": "1d12h"},
        "some": {"type": "list", "default": [1, 2]},
        "many": {"type": "object", "required": False},
        "region": {"type": "string", "default": "eu", "enum": ["eu", "us"]},
        "mode": {
            "type": "string",
            "default": "full",
            "enum": ["full", "part"],
            "description": "How much.",
        },
        "window": {"type": "object", "default": {"days": 7, "start": "2026-01-31"}},
        "limits": {"type": "object", "default": {"most": 3}},
        "guessed": {"type": "string", "default": "x"},
    }
    definition.spec()


def test_text_that_defaults_to_the_runs_date_is_a_date() -> None:
    def daily(day: str = "${{ run.logical_date }}", other: str = "x") -> None:
        shell("true", name="a", env={"DAY": day, "OTHER": other})

    definition = made(daily)
    assert definition.params["day"] == {"type": "date", "default": "${{ run.logical_date }}"}
    assert definition.params["other"]["type"] == "string"
    definition.spec()


def test_more_steps_than_a_definition_can_hold_are_refused_while_they_are_made() -> None:
    def endless() -> None:
        while True:
            load(1)

    assert refused(endless)[0] == "too_large"


@pytest.mark.parametrize("annotation", [Decimal, int | str, Any, Literal["a", 1], set[int], object])
def test_what_has_no_type_in_a_definition_is_refused(annotation: Any) -> None:
    with pytest.raises(Unmappable) as caught:
        declared(annotation)
    assert caught.value.hint


def test_all_params_that_have_no_type_are_told_at_once() -> None:
    def odd(a: Decimal, b: set[int], c: int = 1) -> None:
        shell("true", name="a")

    with pytest.raises(Exception, match="mistakes") as caught:
        made(odd)
    assert [each.code for each in caught.value.problems] == ["unmappable_type"] * 2  # type: ignore[attr-defined]


def _maps_a_handle() -> None:
    extract(date(2026, 1, 31)).map(1)


def _nests() -> None:
    inner()


def _asks() -> None:
    if extract(date(2026, 1, 31))["rows"] > 3:
        load(1)


def _goes_through() -> None:
    for _ in extract(date(2026, 1, 31))["parts"]:
        load(1)


def _names_no_output() -> None:
    extract(date(2026, 1, 31))["row"]


def _passes_keys() -> None:
    load(1, timeout="5m")


def _local() -> None:
    @step
    def inside() -> None: ...

    inside()


def _unnamed() -> None:
    shell("true")


def _unwritable() -> None:
    load(Decimal(3))


def _deep() -> None:
    value: Any = []
    for _ in range(40):
        value = [value]
    load(value)


@pipeline(team="demo", owner="me@example.com")
def inner() -> None:
    shell("true", name="a")


@pytest.mark.parametrize(
    ("function", "code", "part"),
    [
        (_maps_a_handle, "bad_arguments", "is a step already"),
        (_nests, "not_supported", "a pipeline inside a pipeline is not available"),
        (_asks, "not_known_yet", "neither true nor false"),
        (_goes_through, "not_known_yet", "no items"),
        (_names_no_output, "unknown_name", "declares no output `row`"),
        (_passes_keys, "bad_arguments", "timeout"),
        (_local, "not_importable", "cannot import"),
        (_unnamed, "missing_key", "needs a name"),
        (_unwritable, "bad_value", "Decimal"),
        (_deep, "too_deep", "deeper"),
    ],
)
def test_what_cannot_be_built_is_told(function: Any, code: str, part: str) -> None:
    found, message = refused(function)
    assert (found, part in message) == (code, True), message


def test_a_handle_of_another_pipeline_is_refused() -> None:
    kept: list[Any] = []

    def one() -> None:
        kept.append(load(1))

    def other() -> None:
        load(1).after(kept[0])

    made(one)
    assert refused(other)[0] == "unknown_need"


def test_a_step_made_outside_a_pipeline_is_refused() -> None:
    with pytest.raises(AuthoringError, match="no pipeline is being built"):
        shell("true", name="a")
    with pytest.raises(AuthoringError, match="does not run by being called"):
        inner()
    assert isinstance(inner, Pipeline)


def test_keys_of_later_versions_and_unknown_ones_are_the_readers_to_tell() -> None:
    def small() -> None:
        shell("true", name="a", cache="x")  # type: ignore[call-arg]

    with pytest.raises(Exception, match="mistakes") as caught:
        made(small, slo=[], ownr="x")
    codes = {each.code for each in caught.value.problems}  # type: ignore[attr-defined]
    assert codes == {"not_supported", "unknown_key"}


def test_expressions() -> None:
    def rows(source: Any) -> str:
        return str(source.source)

    value = expression("params.n")
    assert rows(value + 1 > 2) == "((params.n) + 1) > 2"
    assert rows(1 - value) == "1 - (params.n)"
    assert rows(value.is_in(["a", None, True])) == '(params.n) in ["a", null, true]'
    assert rows(has(value["a b"]["c"]) | (value == date(2026, 1, 31))) == (
        'has((params.n)["a b"].c) || ((params.n) == "2026-01-31")'
    )
    assert rows(value == datetime(2026, 1, 31, tzinfo=UTC)).endswith(
        'timestamp("2026-01-31T00:00:00Z")'
    )
    assert f"{value}" == "${{ params.n }}"
