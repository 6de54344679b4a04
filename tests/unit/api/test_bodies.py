"""Bodies that ask too much of their reader are refused in short answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headway_coordinator.api.bodies import VALUES_LIMIT
from tests.unit.api.house import SALES, House

HEAD = "headway: 1\npipeline: p\nteam: analytics\nowner: o\n"
SHORT_BYTES = 64 * 1024
JSON = {"Content-Type": "application/json"}


def filled(head: str, unit: str, tail: str, size: int) -> bytes:
    return (head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail).encode()


def keys(count: int) -> str:
    return ",".join(f'"k{number}":1' for number in range(count))


def files(*texts: str) -> bytes:
    named = [{"name": f"{number}.yaml", "text": text} for number, text in enumerate(texts)]
    return json.dumps({"files": named}).encode()


MANY_STEPS = HEAD + "steps: {" + ",".join(f"s{n:x}: {{}}" for n in range(100_000)) + "}"
PIPELINES, RUNS = "/api/v1/pipelines", "/api/v1/runs"
MIB = 1 << 20
HEAVY: dict[str, tuple[str, bytes, int, str]] = {
    "10 MB": (PIPELINES, b"x" * 10_000_000, 413, "too_large"),
    "a text of 8 MiB": (
        PIPELINES,
        filled('{"files":[{"name":"a","text":"', "x", '"}]}', 8 * MIB),
        422,
        "invalid_request",
    ),
    "8 MiB of brackets": (PIPELINES, b"[" * 8 * MIB, 413, "too_large"),
    "8 MiB of lists": (PIPELINES, filled("[", "[],", "[]]", 8 * MIB), 413, "too_large"),
    "8 MiB of files": (PIPELINES, filled('{"files":[', "{},", "{}]}", 8 * MIB), 413, "too_large"),
    "8 MiB of digits": (PIPELINES, filled('{"files":', "1", "}", 8 * MIB), 422, "invalid_request"),
    "8 MiB of keys": (PIPELINES, f"{{{keys(700_000)}}}".encode()[: 8 * MIB], 413, "too_large"),
    "40,000 unknown keys": (RUNS, f"{{{keys(40_000)}}}".encode(), 422, "invalid_request"),
    "40,000 unknown params": (
        RUNS,
        f'{{"pipeline":"sales","params":{{{keys(40_000)}}}}}'.encode(),
        422,
        "invalid_params",
    ),
    "100,000 steps": (PIPELINES, files(MANY_STEPS), 422, "invalid_definition"),
    "7 times 100,000 steps": (PIPELINES, files(*[MANY_STEPS] * 7), 422, "invalid_definition"),
    "500 files with a mistake": (
        PIPELINES,
        files(*[HEAD + "steps: {a: {x: 1}}"] * 500),
        422,
        "invalid_definition",
    ),
}


@pytest.mark.parametrize("kind", HEAVY)
def test_what_is_too_much_is_refused_in_a_short_answer(house: House, kind: str) -> None:
    house.apply()
    path, body, status, code = HEAVY[kind]
    answer = house.ask("admin", "POST", path, team=None, headers=JSON, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(answer.content) < SHORT_BYTES
    assert len(answer.json()["problems"]) <= 101
    assert house.start().status_code == 202


def test_files_after_one_that_is_too_large_are_not_read(house: House) -> None:
    answer = house.ask(
        "admin", "POST", PIPELINES, team=None, headers=JSON, content=files(MANY_STEPS, "a: b")
    )
    assert [p["code"] for p in answer.json()["problems"]] == ["too_large"]


def test_a_body_of_as_many_values_as_may_be_is_read(house: House) -> None:
    """Counted without those in the texts."""
    house.apply(SALES.replace("region: {type: string, default: eu}", "region: {type: list}"))
    items: list[Any] = [",[{" for _ in range(VALUES_LIMIT - 20)]
    assert house.start(params={"region": items}).status_code == 202
    assert house.start(params={"region": [*items, *[1] * 20]}).status_code == 413


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", '"\\ud800"', '"\\udc00\\ud800"', "[" * 300 + "]" * 300]
)
def test_what_no_answer_could_hold_is_no_json(house: House, text: str) -> None:
    house.apply()
    body = f'{{"pipeline":"sales","params":{{"region":{text}}}}}'
    answer = house.ask("operator", "POST", RUNS, headers=JSON, content=body.encode())
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
