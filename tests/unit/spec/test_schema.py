"""The JSON Schema that editors use accepts what the reader accepts, and explains every key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headway.spec import completed, load, schema
from headway.spec.descriptions import DEFAULTS, DESCRIPTIONS
from headway.spec.document import documents, plain
from headway.spec.report import Report
from headway.spec.starting import UNSAID_OF_STEP
from headway.spec.steps import RETRY

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(schema())
HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"


def mistakes(text: str) -> list[str]:
    [root] = documents(text, Report("f"))
    return [error.message for error in VALIDATOR.iter_errors(plain(root))]


def records(held: Any) -> Iterator[dict[str, Any]]:
    if isinstance(held, dict):
        if isinstance(held.get("properties"), dict):
            yield held["properties"]
        for value in held.values():
            yield from records(value)
    elif isinstance(held, list):
        for value in held:
            yield from records(value)


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_every_example_fits(file: Path) -> None:
    assert EXAMPLES
    assert mistakes(file.read_text("utf-8")) == []


def test_every_key_is_described() -> None:
    properties = [each for record in records(schema()) for each in record.values()]
    assert len(properties) > 50
    assert all(len(each["description"]) > 10 for each in properties)
    assert {each["description"] for each in properties} == set(DESCRIPTIONS.values())


def test_defaults_are_the_readers_own() -> None:
    trigger = "pipeline: {name: q}, dedupe: {key: '${{ event.id }}'}"
    triggers = f"triggers: [{{schedule: {{every: 1h}}}}, {{{trigger}}}]\n"
    step = load(HEAD + triggers + "steps: {a: {http: {url: 'https://x'}}}", "f").spec
    assert step is not None
    read = step.canonical["steps"][0]
    first, second = step.canonical["triggers"]
    for name, default in DEFAULTS.items():
        record, _, key = name.partition(".")
        found = {
            "pipeline": completed(step.canonical),
            "step": {**UNSAID_OF_STEP, **read},
            "retry": RETRY,
            "http": read["http"],
            "schedule": first["schedule"],
            "of_pipeline": second["pipeline"],
            "dedupe": second["dedupe"],
        }
        read_as = {"0s": 0.0, "5s": 5.0, "5m": 300.0, "1d": 86400.0, "succeeded": ["succeeded"]}
        assert found[record][key] == read_as.get(default, default)


@pytest.mark.parametrize(
    "steps",
    [
        "a: {run: x, timeout: soon}",
        "a: {run: x, python: 'a:b'}",
        "a: {}",
        "a: {run: x, rnu: y}",
        "A: {run: x}",
        "a: {run: x, when: never}",
        "a: {run: x, retry: {max: -1}}",
        "a: {run: x, outputs: {n: number}}",
        "a: {http: {method: GET}}",
        "a: {wait: {for: 1s, until: x}}",
        "a: {run: x, needs: b}",
    ],
)
def test_what_the_reader_refuses_for_its_shape_is_refused(steps: str) -> None:
    text = HEAD + "steps: {" + steps + "}"
    assert load(text, "f").spec is None
    assert mistakes(text)
