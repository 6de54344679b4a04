"""What triggers become in the canonical form, and how they are named, compared and written back."""

from __future__ import annotations

from typing import Any

import pytest

from headway.spec import Spec, completed, load
from headway.spec.changes import changes
from headway.spec.writing import written

HEAD = "headway: 1\npipeline: sales\nteam: t\nowner: o\n"
STEPS = "\nsteps: {a: {run: x}}\n"
PLAIN: dict[str, Any] = {"if": None, "params": {}, "dedupe": None, "debounce": None, "batch": None}


def spec_of(text: str) -> Spec:
    loaded = load(HEAD + text + STEPS, "f")
    assert loaded.problems == ()
    assert loaded.spec is not None
    return loaded.spec


def triggers(*lines: str, params: str = "{}") -> list[dict[str, Any]]:
    text = "".join(f"\n  - {line}" for line in lines)
    found: list[dict[str, Any]] = spec_of(f"params: {params}\ntriggers:{text}").canonical[
        "triggers"
    ]
    return found


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (
            "schedule: {cron: '0  6 * * 1-5', timezone: Europe/Paris, missed: all}",
            "schedule",
            {
                "cron": "0 6 * * 1-5",
                "every": None,
                "timezone": "Europe/Paris",
                "jitter": 0.0,
                "start": None,
                "end": None,
                "missed": "all",
            },
        ),
        (
            "schedule: {every: 1h, start: '2026-01-31T06:00:00+02:00',"
            " end: 2027-01-01T00:00:00Z, jitter: 90s}",
            "schedule",
            {
                "cron": None,
                "every": 3600.0,
                "timezone": "UTC",
                "jitter": 90.0,
                "start": "2026-01-31T04:00:00.000Z",
                "end": "2027-01-01T00:00:00.000Z",
                "missed": "latest",
            },
        ),
        (
            "webhook: {source: github, event: push, secret: secret://hook}",
            "webhook",
            {"source": "github", "name": "sales", "events": ["push"], "secret": ["secret://hook"]},
        ),
        (
            "webhook: {source: s3, name: raw, secret: [secret://a, secret://b]}",
            "webhook",
            {"source": "s3", "name": "raw", "events": [], "secret": ["secret://a", "secret://b"]},
        ),
        (
            "event: {type: com.example.*, subject: a/*}",
            "event",
            {"type": "com.example.*", "source": None, "subject": "a/*"},
        ),
        ("asset: {uri: s3://raw/sales}", "asset", {"any": ["s3://raw/sales"]}),
        ("asset: {all: [s3://a, 'urn:x']}", "asset", {"all": ["s3://a", "urn:x"]}),
        ("pipeline: {name: ingest}", "pipeline", {"name": "ingest", "on": ["succeeded"]}),
        (
            "pipeline: {name: ingest, on: [timed_out, failed, failed]}",
            "pipeline",
            {"name": "ingest", "on": ["failed", "timed_out"]},
        ),
    ],
)
def test_every_default_is_filled_in(text: str, kind: str, expected: dict[str, Any]) -> None:
    assert triggers(text) == [{"name": kind, "kind": kind, kind: expected, **PLAIN}]


def test_the_keys_beside_the_kind() -> None:
    [found] = triggers(
        "{event: {type: x}, if: event.data.n > 1 && run.team == 't', debounce: 5s,"
        " params: {day: '${{ event.time }}', n: 3, f: 1}, dedupe: {key: 'a-${{ event.id }}'}}",
        params="{day: {type: date}, n: {type: int}, f: {type: float}, o: {type: int, default: 1}}",
    )
    assert found["if"] == "event.data.n > 1 && run.team == 't'"
    assert found["params"] == {"day": "${{ event.time }}", "n": 3, "f": 1.0}
    assert found["dedupe"] == {"key": "a-${{ event.id }}", "window": 86400.0}
    assert (found["debounce"], found["batch"]) == (5.0, None)
    [batch] = triggers("{event: {type: x}, batch: {size: 100, within: 5m}}")
    assert batch["batch"] == {"size": 100, "within": 300.0}


def test_names_are_given_or_the_kind_with_a_number() -> None:
    hourly = "schedule: {every: 1h}"
    found = triggers(
        hourly,
        hourly,
        f"{{name: schedule-2, {hourly}}}",
        f"{{name: nightly, {hourly}}}",
        "asset: {uri: s3://a}",
        hourly,
    )
    names = [trigger["name"] for trigger in found]
    assert names == ["schedule", "schedule-3", "schedule-2", "nightly", "asset", "schedule-4"]


def test_values_of_params_that_expressions_give() -> None:
    params = "{s: {type: string}, d: {type: date}, l: {type: list}, o: {type: object}}"
    [found] = triggers(
        "{event: {type: x}, params: {s: 'v${{ event.data.v }}', d: '${{ event.data.day }}',"
        " l: ['${{ event.id }}', 1], o: {a: '${{ run.logical_date }}'}}}",
        params=params,
    )
    assert found["params"]["l"] == ["${{ event.id }}", 1]
    assert found["params"]["o"] == {"a": "${{ run.logical_date }}"}


@pytest.mark.parametrize(
    ("kind", "source", "fits"),
    [
        ("date", "run.data_interval_start", True),
        ("datetime", "event.time", True),
        ("string", "event.time", True),
        ("int", "event.data.n", True),
        ("int", "size(event.data.items)", True),
        ("float", "size(event.data.items)", True),
        ("int", "event.type", True),
        ("int", "event.time", False),
        ("string", "size(event.data.items)", False),
        ("bool", "size(event.data.items)", False),
        ("int", "has(event.data.n)", False),
        ("list", "event", False),
        ("date", "[event.id]", False),
    ],
)
def test_what_an_expression_gives_must_fit_its_param(kind: str, source: str, fits: bool) -> None:
    trigger = f"{{event: {{type: x}}, params: {{p: '${{{{ {source} }}}}'}}}}"
    text = f"params: {{p: {{type: {kind}}}}}\ntriggers: [{trigger}]"
    codes = [problem.code for problem in load(HEAD + text + STEPS, "f").problems]
    assert codes == ([] if fits else ["wrong_type"])


def test_what_is_not_said_does_not_change_the_digest() -> None:
    plain = spec_of("")
    assert not plain.canonical.keys() & {"triggers", "overlap", "concurrency", "notify"}
    assert "produces" not in plain.canonical["steps"][0]
    said = spec_of("triggers: []\noverlap: allow\nnotify: []")
    assert said.digest == plain.digest
    assert spec_of("overlap: skip").digest != plain.digest
    full = completed(plain.canonical)
    assert (full["triggers"], full["overlap"], full["concurrency"]) == ([], "allow", None)
    assert (full["notify"], full["steps"][0]["produces"]) == ([], [])


def test_the_digest_from_before_these_keys() -> None:
    """A stored version of an older release is found again, not stored anew."""
    assert spec_of("").digest == DIGEST_BEFORE


DIGEST_BEFORE = "8053850f6487176e85dc5a8e39ef115d8dc1d9c3abe637b2739ffe74d06cb4ac"


def test_overlap_concurrency_notices_and_products() -> None:
    spec = load(
        HEAD + "params: {r: {type: string, default: eu}}\noverlap: queue\n"
        "concurrency: {key: '${{ params.r }}', limit: 2}\n"
        "notify: [{on: failed, webhook: https://example.com/x},"
        " {on: [recovered, failed], webhook: secret://chat}]\n"
        "steps: {a: {run: x, produces: ['s3://a/b', 'hdfs:///c']}}\n",
        "f",
    ).spec
    assert spec is not None
    assert spec.canonical["overlap"] == "queue"
    assert spec.canonical["concurrency"] == {"key": "${{ params.r }}", "limit": 2}
    assert spec.canonical["notify"] == [
        {"on": ["failed"], "webhook": "https://example.com/x"},
        {"on": ["failed", "recovered"], "webhook": "secret://chat"},
    ]
    assert spec.canonical["steps"][0]["produces"] == ["s3://a/b", "hdfs:///c"]
    assert spec_of("concurrency: {limit: 1}").canonical["concurrency"] == {"key": None, "limit": 1}


def test_changes_name_the_trigger() -> None:
    old = spec_of(
        "triggers: [{name: a, schedule: {every: 1h}}, {name: b, event: {type: x}},"
        " {name: c, schedule: {every: 1h}}]"
    )
    new = spec_of(
        "triggers: [{name: c, schedule: {every: 1h}}, {name: a, schedule: {every: 2h}},"
        " {name: d, asset: {uri: s3://a}}]\noverlap: skip"
    )
    found = [(each.change, each.path) for each in changes(old.canonical, new.canonical)]
    assert found == [
        ("added", "overlap"),
        ("changed", "triggers.a.schedule.every"),
        ("removed", "triggers.b"),
        ("added", "triggers.d"),
        ("changed", "triggers (order)"),
    ]
    assert changes(new.canonical, new.canonical) == []


def test_they_are_written_as_people_write() -> None:
    text = """\
triggers:
  - schedule:
      cron: 0 6 * * 1-5
      timezone: Europe/Paris
    if: run.logical_date.getDayOfMonth() > 0
  - schedule:
      every: 1h30m
      jitter: 10s
      start: '2026-01-31T06:00:00.000Z'
      missed: none
  - name: hook
    webhook:
      source: github
      event: push
      secret: secret://a
    params:
      day: ${{ event.time }}
    dedupe:
      key: ${{ event.id }}
      window: 1h
  - webhook:
      source: gitlab
      name: other
      event:
        - push
        - tag_push
      secret:
        - secret://a
        - secret://b
    batch:
      size: 10
      within: 5m
  - event:
      type: com.example.*
    debounce: 5s
  - asset:
      uri: s3://a
  - name: asset-9
    asset:
      all:
        - s3://a
        - s3://b
  - pipeline:
      name: ingest
  - pipeline:
      name: ingest
      "on": failed
overlap: queue
concurrency:
  limit: 1
notify:
  - "on":
      - failed
    webhook: secret://chat
"""
    head = HEAD + "params:\n  day:\n    type: date\n    required: false\n"
    steps = "steps:\n  a:\n    run: x\n    produces:\n      - s3://c\n"
    spec = load(head + text + steps, "f").spec
    assert spec is not None
    assert written(spec.canonical) == head + text + steps


def test_a_param_with_a_mistake_is_told_once() -> None:
    text = "params: {n: {type: number}}\ntriggers: [{event: {type: x}, params: {n: 1}}]"
    assert [p.code for p in load(HEAD + text + STEPS, "f").problems] == ["bad_value"]


@pytest.mark.parametrize(
    ("declared", "given", "message", "hint"),
    [
        ("{type: date}", "null", "`p` is null, which is no date", "give it a value"),
        ("{type: int, default: 3}", "null", "`p` is null, which is no int", "leave it out: its"),
        ("{type: string}", "'${{ null }}'", "`p` is null for every event", "give it a value"),
    ],
)
def test_a_param_that_is_given_null(declared: str, given: str, message: str, hint: str) -> None:
    trigger = f"{{event: {{type: x}}, params: {{p: {given}}}}}"
    text = f"params: {{p: {declared}}}\ntriggers: [{trigger}]"
    [problem] = load(HEAD + text + STEPS, "f").problems
    assert problem.code == "wrong_type"
    assert message in problem.message
    assert problem.hint is not None
    assert hint in problem.hint


def test_a_day_that_no_month_has_is_said_so() -> None:
    [problem] = load(HEAD + "triggers: [{schedule: {cron: 0 0 31 2 *}}]" + STEPS, "f").problems
    assert problem.message == (
        "`0 0 31 2 *` makes no schedule: it never comes, since month 2 has no day 31"
    )
    assert problem.hint == "the last day of a month is L: `0 0 L 2 *`"
