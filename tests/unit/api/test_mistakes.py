"""A request of another shape is answered in words of ours, with the place and the mend."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from headway_coordinator.api import mistakes as module
from tests.unit.api.house import House

API = Path(module.__file__).parent
RUNS, BACKFILLS, TOKENS = "/api/v1/runs", "/api/v1/backfills", "/api/v1/tokens"
NAMES = "lower-case letters, digits and dashes, from a letter on, 63 at the most"
FOREIGN = re.compile(r"Input should|String should|valid (string|integer|dictionary)|pydantic")


@pytest.mark.parametrize(
    ("path", "body", "code", "message", "hint"),
    [
        (RUNS, {}, "missing_key", "`pipeline` is missing", "add it"),
        (RUNS, {"pipeline": 1}, "wrong_type", "`pipeline` must be text", None),
        (RUNS, {"pipeline": "A b"}, "bad_value", "`pipeline` has a form that it", NAMES),
        (RUNS, {"pipeline": "a", "x": 1}, "unknown_key", "`x` is not known here", "leave it out; "),
        (RUNS, {"pipeline": "a", "params": []}, "wrong_type", "`params` must be an object", None),
        (RUNS, {"pipeline": "a", "logical_date": "soon"}, "bad_value",
         "`logical_date` is no time", "such as 2026-01-31T06:00:00Z"),
        (RUNS, {"pipeline": "a", "logical_date": "2026-01-31T06:00:00"}, "bad_value",
         "`logical_date` has no time zone", "end it in Z: such as"),
        (RUNS, {"pipeline": "a", "params": {"a": "\0"}}, "bad_value",
         "`params` cannot be taken: U+0000, NaN", None),
        (RUNS, [], "wrong_type", "the body must be a JSON object", "send a JSON object, with"),
        (BACKFILLS, {"pipeline": "a", "from": "x", "max_in_flight": 0}, "out_of_range",
         "`max_in_flight` must be at least 1", None),
        (BACKFILLS, {"pipeline": "a", "from": "x", "max_in_flight": 9999}, "out_of_range",
         "`max_in_flight` must be at most 1000", None),
        (BACKFILLS, {"pipeline": "a", "from": "x", "dry_run": "maybe"}, "wrong_type",
         "`dry_run` must be true or false", None),
        (BACKFILLS, {"pipeline": "a", "from": "x", "order": "up"}, "bad_value",
         "`order` is none of the values that it can have", "one of: newest, oldest"),
        (BACKFILLS, {"pipeline": "a", "from": "x", "every": [1]}, "wrong_type",
         "`every` must be a whole number or text", None),
        (BACKFILLS, {"pipeline": "a", "from": "x" * 201}, "too_long",
         "`from` has more than 200 characters", None),
        (TOKENS, {"subject": "", "role": "viewer"}, "too_short",
         "`subject` is empty", None),
        (TOKENS, {"subject": "a", "role": "root"}, "bad_value",
         "`role` is none of the values", "one of: viewer, operator, author, admin, worker"),
        (TOKENS, {"subject": "a", "role": "viewer", "expires_in": "soon"}, "bad_value",
         "`expires_in` cannot be taken: `soon` is not a duration", None),
        ("/api/v1/pipelines", {"files": [{"name": "a"}]}, "missing_key",
         "`files.0.text` is missing", "add it"),
        ("/api/v1/pipelines", {"files": []}, "too_short", "`files` is empty", None),
    ],
)  # fmt: skip
def test_a_body(
    house: House, path: str, body: Any, code: str, message: str, hint: str | None
) -> None:
    told(house.ask("admin", "POST", path, team=None, json=body), code, message, hint)


@pytest.mark.parametrize(
    ("path", "code", "message", "hint"),
    [
        (f"{RUNS}?limit=ten", "wrong_type", "`limit` in the query must be a whole number", None),
        (f"{RUNS}?limit=0", "out_of_range", "`limit` in the query must be at least 1", None),
        (f"{RUNS}?limit=501", "out_of_range", "`limit` in the query must be at most 500", None),
        (f"{RUNS}?team=A", "bad_value", "`team` in the query has a form", NAMES),
        (f"{BACKFILLS}?state=over", "bad_value", "`state` in the query is none of the values",
         "one of: cancelled, done, paused, running"),
        ("/api/v1/events?outcome=lost", "bad_value", "`outcome` in the query is none",
         "one of: duplicate, filtered, matched, refused, waiting"),
        (f"{RUNS}/a b", "bad_value", "`id` in the address has a form", "letters, digits and . _"),
    ],
)  # fmt: skip
def test_an_address(house: House, path: str, code: str, message: str, hint: str | None) -> None:
    told(house.ask("admin", "GET", path, team=None), code, message, hint)


def test_a_header_and_a_body_that_is_no_json(house: House) -> None:
    bad = {"Idempotency-Key": "two words"}
    answer = house.ask("admin", "POST", RUNS, json={"pipeline": "a"}, headers=bad)
    told(answer, "bad_value", "the header `Idempotency-Key` has a form", "printable characters")
    broken = house.ask("admin", "POST", RUNS, content=b"{", headers=JSON)
    told(broken, "not_json", "the body is not JSON: ", "send a JSON object")
    form = house.ask("admin", "POST", RUNS, content=b"pipeline=a")
    told(form, "wrong_type", "the body must be a JSON object", "send a JSON object")


JSON = {"Content-Type": "application/json"}


def told(answer: Any, code: str, message: str, hint: str | None) -> None:
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert body["code"] == "invalid_request"
    [problem] = body["problems"]
    assert (problem["code"], problem["file"]) == (code, "request")
    assert problem["message"].startswith(message), problem
    assert (problem["hint"] or "").startswith(hint or ""), problem
    assert (problem["hint"] is None) is (hint is None), problem
    assert (body["detail"], body["hint"]) == (problem["message"], problem["hint"])
    assert not FOREIGN.search(answer.text), answer.text


def test_several_mistakes_are_told_with_their_number_and_nothing_of_what_was_sent(
    house: House,
) -> None:
    body = {"subject": 5, "role": "s3cret", "s3cret-key": "s3cret-value"}
    answer = house.ask("admin", "POST", TOKENS, team=None, json=body)
    assert answer.json()["detail"] == "`subject` must be text; and 2 more"
    assert "s3cret-value" not in answer.text
    assert '"s3cret"' not in answer.text


def test_every_pattern_that_a_request_is_held_against_has_words() -> None:
    found = [
        pattern
        for file in API.glob("*.py")
        for pattern in re.findall(r'pattern=r"([^"]+)"', file.read_text(encoding="utf-8"))
    ]
    assert found
    for pattern in found:
        [said] = module.mistakes([unfit(pattern)], 1)
        assert said.hint, pattern


def unfit(pattern: str) -> dict[str, Any]:
    ctx = {"pattern": pattern}
    return {"type": "string_pattern_mismatch", "loc": ("query", "x"), "msg": "", "ctx": ctx}


def test_a_kind_that_is_not_known_is_still_told_in_words() -> None:
    [said] = module.mistakes([{"type": "new_kind", "loc": ("body", "x"), "msg": "Input"}], 9)
    assert (said.message, said.code) == ("`x` is not as it must be", "bad_value")
    assert json.dumps(said.hint)
