"""What a valid definition becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headway.spec import completed, load, schema
from headway.spec.joining import RULES

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"


def canonical(text: str) -> dict[str, Any]:
    loaded = load(HEAD + text, "f")
    assert loaded.problems == ()
    assert loaded.spec is not None
    return loaded.spec.canonical


def first(text: str, head: str = "") -> dict[str, Any]:
    step: dict[str, Any] = canonical(f"{head}\nsteps: {{a: {text}}}")["steps"][0]
    return step


def test_every_default_is_filled_in() -> None:
    assert canonical("steps: {a: {run: make}}") == {
        "headway": 1,
        "pipeline": "p",
        "team": "t",
        "owner": "o",
        "runbook": None,
        "description": None,
        "labels": {},
        "code": None,
        "params": {},
        "priority": 0,
        "timeout": None,
        "steps": [
            {
                "name": "a",
                "kind": "run",
                "run": "make",
                "needs": [],
                "when": "all_succeeded",
                "if": None,
                "env": {},
                "with": {},
                "class": "default",
                "outputs": {},
                "artifacts": [],
                "inputs": {},
                "retry": {
                    "max": 0,
                    "backoff": "exponential",
                    "delay": 5.0,
                    "cap": 300.0,
                    "jitter": True,
                },
                "timeout": None,
                "queue_timeout": None,
                "workdir": None,
                "interpreter": None,
                "allow_failure": False,
            }
        ],
        "finally": [],
    }


def test_defaults_reach_the_steps_and_give_way_to_their_own_keys() -> None:
    head = "defaults: {class: io, timeout: 1h, retry: {max: 3, delay: 1s}, env: {A: x, B: y}}"
    step = first("{run: x, retry: {delay: 2s}, env: {B: z}}", head)
    assert (step["class"], step["timeout"]) == ("io", 3600.0)
    assert (step["retry"]["max"], step["retry"]["delay"]) == (3, 2.0)
    assert step["env"] == {"A": "x", "B": "z"}
    assert first("{wait: 4h}", head)["timeout"] is None
    assert first("{run: x, retry: 1}", head)["retry"]["max"] == 1


def test_yaml_keeps_words_and_clock_times_as_text() -> None:
    values = canonical(
        "steps: {a: {python: 'm:f', with:"
        " {a: on, b: yes, c: 12:30:45, d: 0o17, e: 0x1F, f: 1_000, g: ~, h: 2026-01-01, i: 010}}}"
    )["steps"][0]["with"]
    assert values == {
        "a": "on",
        "b": "yes",
        "c": "12:30:45",
        "d": 15,
        "e": 31,
        "f": "1_000",
        "g": None,
        "h": "2026-01-01",
        "i": 10,
    }


def test_environment_values_are_text() -> None:
    step = first("{run: x, env: {A: 1, B: true, C: 1.50, D: ''}}")
    assert step["env"] == {"A": "1", "B": "true", "C": "1.50", "D": ""}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("{python: 'a.b:c.d'}", "python", "a.b:c.d"),
        ("{wait: 1h30m}", "wait", {"for": 5400.0, "until": None}),
        ("{wait: {for: 500ms}}", "wait", {"for": 0.5, "until": None}),
        (
            "{wait: {until: 2026-01-01T00:00:00Z}}",
            "wait",
            {"for": None, "until": "2026-01-01T00:00:00Z"},
        ),
        (
            "{wait: {until: '${{ run.logical_date }}'}}",
            "wait",
            {"for": None, "until": "${{ run.logical_date }}"},
        ),
        (
            "{http: {url: 'https://x', json: {a: 1}, expect: [201]}}",
            "http",
            {
                "method": "GET",
                "url": "https://x",
                "headers": {},
                "json": {"a": 1},
                "body": None,
                "expect": [201],
                "timeout": None,
            },
        ),
    ],
)
def test_kinds_stand_under_their_own_key(text: str, kind: str, value: object) -> None:
    step = first(text)
    assert step["kind"] == kind
    assert step[kind] == value
    assert {"run", "python", "http", "sql", "wait"} & step.keys() == {kind}


@pytest.mark.parametrize("when", RULES)
def test_all_twelve_rules_are_read(when: str) -> None:
    assert first(f"{{run: x, when: {when}}}")["when"] == when
    assert len(RULES) == 12


def test_steps_keep_the_order_of_the_file() -> None:
    found = canonical("steps: {z: {run: x}, a: {run: x}, m: {run: x}}")["steps"]
    assert [step["name"] for step in found] == ["z", "a", "m"]


def test_expressions_reach_upstream_steps_only_and_finally_reaches_all() -> None:
    canonical(
        """
params: {day: {type: date, default: "${{ run.logical_date }}"}, n: {type: int, default: 1}}
steps:
  a: {run: x, outputs: {rows: int, parts: list}}
  b: {run: x, needs: [a], if: "steps.a.outputs.parts.exists(p, has(p.rows) && p.rows > 0)"}
  c:
    python: m:f
    needs: [b]
    if: steps.a.outputs.rows > params.n && params.day >= "2026-01-01"
    with: {text: "of ${{ params.day }}: ${{ steps.a.outputs.rows }}"}
    inputs: {raw: "${{ steps.a.artifacts }}"}
  get: {http: {url: "https://x/${{ params.day }}"}}
finally:
  z: {run: x, if: steps.get.outputs.status != 200 || steps.c.state == "failed"}
  y: {run: x, needs: [z], if: steps.z.state == "succeeded"}
"""
    )


def test_equal_meaning_has_an_equal_digest_and_other_meaning_another() -> None:
    def digest(text: str) -> str:
        loaded = load(HEAD + text, "f")
        assert loaded.spec is not None
        return loaded.spec.digest

    base = digest("steps: {a: {run: x, timeout: 60s}}")
    assert digest("# a comment\nsteps:\n  a:\n    timeout: 1m\n    run: 'x'\n") == base
    assert digest("steps: {a: {run: x, timeout: 61s}}") != base
    assert digest("steps: {a: {run: y, timeout: 60s}}") != base


def test_the_canonical_form_survives_json() -> None:
    found = canonical("timeout: 4h\nsteps: {a: {run: x, needs: []}, b: {wait: 1s, needs: [a]}}")
    assert json.loads(json.dumps(found)) == found


def test_the_schema_knows_every_key_that_is_read() -> None:
    made = schema()
    full = completed(canonical("steps: {a: {run: x}}"))
    assert set(made["properties"]) == full.keys() | {"defaults"}
    step = made["$defs"]["step"]["properties"]
    read = full["steps"][0].keys() - {"name", "kind"}
    assert set(step) == read | {"run", "python", "http", "sql", "wait"}
    json.dumps(made)
