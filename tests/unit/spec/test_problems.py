"""Every kind of mistake, with its exact place: `¶` marks it and is no part of the text."""

from __future__ import annotations

import pytest

from headway.spec import load, load_all

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"


def whole(code: str, text: str) -> tuple[str, str]:
    return code, text


def top(code: str, text: str) -> tuple[str, str]:
    return code, HEAD + text + "\nsteps: {a: {run: x}}\n"


def steps(code: str, text: str) -> tuple[str, str]:
    return code, HEAD + "params: {n: {type: int}, day: {type: date}}\nsteps:\n" + text + "\n"


def trigger(code: str, text: str) -> tuple[str, str]:
    params = "params: {n: {type: int, default: 1}, r: {type: string, enum: [a, b], default: a}}"
    return top(code, f"{params}\ntriggers:\n  - {text}")


def schedule(code: str, text: str) -> tuple[str, str]:
    return trigger(code, f"schedule: {text}")


def step(code: str, text: str) -> tuple[str, str]:
    return steps(code, "  a:\n    " + text)


def expectation(code: str, text: str) -> tuple[str, str]:
    """A test of a pipeline with a step, a wait and a param; the rest of it is right."""
    head = "params: {n: {type: int, default: 1}, day: {type: date}}\n"
    body = "steps: {load: {run: x, outputs: {rows: int}}, nap: {wait: 1h}}\n"
    return code, HEAD + head + body + f"tests:\n  - {text}\n"


def assumption(code: str, text: str) -> tuple[str, str]:
    return expectation(
        code, f"{{name: x, params: {{day: 2026-01-31}}, expect: {{state: failed}}, {text}}}"
    )


def expected(code: str, text: str) -> tuple[str, str]:
    return expectation(code, f"{{name: x, params: {{day: 2026-01-31}}, expect: {text}}}")


MISTAKES = [
    # the text
    whole("syntax", "a: [\n¶"),
    whole("syntax", "a: 1\n b¶: 2"),
    whole("tab", "a:\n¶\tb: 1"),
    whole("bad_character", "a: b¶\0"),
    whole("bad_character", 'headway: ¶"a\\0"'),
    whole("too_deep", "[" * 32 + "¶["),
    whole("empty", "¶"),
    whole("empty", "¶# nothing but a comment\n"),
    whole("wrong_type", "¶[1, 2]"),
    whole("bad_tag", "headway: ¶!!binary 1"),
    whole("bad_tag", "headway: 1\nlabels: ¶!thing {a: b}"),
    whole("bad_alias", "headway: ¶*one"),
    whole("bad_alias", "headway: &a [¶*a]"),
    whole("duplicate_key", "headway: 1\n¶headway: 1"),
    whole("bad_key", "¶12: 1"),
    whole("bad_key", "? ¶[a]\n: 1"),
    whole("bad_number", "priority: ¶99999999999999999999"),
    whole("bad_number", "priority: ¶.nan"),
    whole("bad_number", "priority: ¶1e999"),
    # the head
    whole("missing_key", "¶headway: 1\npipeline: p\nteam: t\nsteps: {a: {run: x}}"),
    whole("bad_version", "headway: ¶2"),
    whole("bad_version", "headway: ¶true"),
    whole("bad_name", "headway: 1\npipeline: ¶Daily"),
    whole("bad_name", "headway: 1\npipeline: ¶'é'"),
    whole("reserved_name", "headway: 1\nteam: ¶headway"),
    whole("unknown_key", "headway: 1\n¶ownr: x"),
    top("not_supported", "¶slo: []"),
    top("bad_duration", "timeout: ¶5 minutes"),
    top("bad_duration", "timeout: ¶0s"),
    top("bad_duration", "timeout: ¶99999d"),
    top("wrong_type", "timeout: ¶300"),
    top("wrong_type", "priority: ¶high"),
    top("bad_value", "priority: ¶5000"),
    top("wrong_type", "description: ¶{}"),
    top("bad_value", "runbook: ¶''"),
    top("missing_key", "code: ¶{}"),
    top("bad_name", "defaults: {class: ¶Big}"),
    top("unknown_key", "defaults: {¶needs: []}"),
    top("reserved_name", "defaults: {env: {¶HEADWAY_TOKEN: x}}"),
    # params
    top("missing_key", "params: {a: ¶{}}"),
    top("bad_value", "params: {a: {type: ¶integer}}"),
    top("reserved_name", "params: {¶in: {type: int}}"),
    top("bad_name", "params: {¶Day: {type: int}}"),
    top("wrong_type", "params: {a: {type: int, default: ¶one}}"),
    top("wrong_type", "params: {a: {type: bool, default: ¶yes}}"),
    top("wrong_type", "params: {a: {type: date, default: ¶2026-02-30}}"),
    top("wrong_type", "params: {a: {type: string, enum: [x, ¶2]}}"),
    top("wrong_type", "params: {a: {type: string, enum: ¶x}}"),
    top("bad_value", "params: {a: {type: string, enum: [x, y], default: ¶z}}"),
    top("conflict", "params: {a: {type: int, default: 1, ¶required: true}}"),
    top("unknown_name", 'params: {a: {type: date, default: "${{ run.¶day }}"}}'),
    top("bad_expression", 'params: {a: {type: date, default: "¶${{ params.b }}"}}'),
    top("wrong_type", 'params: {a: {type: int, default: "¶${{ run.logical_date }}"}}'),
    # triggers
    top("wrong_type", "triggers: ¶{schedule: {every: 1h}}"),
    top("bad_value", "triggers: ¶[" + "{schedule: {every: 1h}}, " * 51 + "]"),
    trigger("wrong_type", "¶push"),
    trigger("no_kind", "¶{name: a}"),
    trigger("two_kinds", "{schedule: {every: 1h}, ¶event: {type: x}}"),
    trigger("unknown_key", "{schedule: {every: 1h}, ¶fi: 'true'}"),
    trigger("bad_name", "{schedule: {every: 1h}, name: ¶Nightly}"),
    trigger(
        "duplicate_trigger", "{schedule: {every: 1h}, name: x}\n  - {event: {type: x}, name: ¶x}"
    ),
    schedule("wrong_type", "¶'0 6 * * *'"),
    schedule("conflict", "¶{timezone: UTC}"),
    schedule("conflict", "¶{cron: '@daily', every: 1h}"),
    schedule("unknown_key", "{cron: '@daily', ¶tz: UTC}"),
    schedule("bad_cron", "{cron: ¶'61 * * * *'}"),
    schedule("bad_cron", "{cron: ¶'0 0 6 * * *'}"),
    schedule("bad_cron", "{cron: ¶'H 2 * * *'}"),
    schedule("bad_cron", "{cron: ¶'0 0 30 2 *'}"),
    schedule("bad_expression", "{cron: '¶${{ params.n }} 6 * * *'}"),
    schedule("unknown_zone", "{cron: '@daily', timezone: ¶Europe/Pari}"),
    schedule("unknown_zone", "{cron: '@daily', timezone: ¶../UTC}"),
    schedule("bad_duration", "{every: ¶999ms}"),
    schedule("bad_duration", "{every: ¶hourly}"),
    schedule("wrong_type", "{every: ¶60}"),
    schedule("bad_value", "{every: 1h, start: ¶2026-01-31}"),
    schedule("bad_value", "{every: 1h, start: ¶2026-01-31T06:00:00}"),
    schedule("bad_value", "{every: 1h, start: ¶0001-01-01T00:00:00Z}"),
    schedule("bad_value", "{every: 1h, end: ¶9999-12-31T23:59:59Z}"),
    schedule("conflict", "{every: 1h, start: 2026-01-31T06:00:00Z, end: ¶2026-01-30T06:00:00Z}"),
    schedule(
        "conflict", "{cron: '0 6 1 2 *', start: 2026-03-01T00:00:00Z, end: ¶2026-04-01T00:00:00Z}"
    ),
    schedule("bad_value", "{every: 1h, missed: ¶never}"),
    schedule("bad_value", "{every: 1m, jitter: ¶1m}"),
    schedule("bad_value", "{cron: '0 6,7 * * *', jitter: ¶1h}"),
    schedule("bad_value", "{cron: '@weekly', jitter: ¶25h}"),
    trigger("missing_key", "webhook: ¶{source: github}"),
    trigger("missing_key", "webhook: ¶{secret: secret://a}"),
    trigger("bad_value", "webhook: {source: ¶githb, secret: secret://a}"),
    trigger("bad_secret", "webhook: {source: github, secret: ¶token}"),
    trigger("bad_secret", "webhook: {source: github, secret: [secret://a, ¶secret://B]}"),
    trigger(
        "bad_value", "webhook: {source: github, secret: ¶[secret://a, secret://b, secret://c]}"
    ),
    trigger("bad_value", "webhook: {source: github, secret: ¶[]}"),
    trigger("bad_name", "webhook: {source: github, name: ¶a/b, secret: secret://a}"),
    trigger("bad_value", "webhook: {source: github, event: ¶pull*, secret: secret://a}"),
    trigger("bad_expression", "webhook: {source: github, event: '¶${{ x }}', secret: secret://a}"),
    trigger("missing_key", "event: ¶{source: x}"),
    trigger("bad_value", "event: {type: ¶a*b}"),
    trigger("bad_secret", "event: {type: a, source: ¶secret://x}"),
    trigger("conflict", "asset: ¶{}"),
    trigger("conflict", "asset: ¶{uri: s3://a, all: [s3://b]}"),
    trigger("bad_uri", "asset: {uri: ¶sales}"),
    trigger("bad_uri", "asset: {any: [s3://a, ¶'s3://a b']}"),
    trigger("bad_value", "asset: {any: [s3://a, ¶s3://a]}"),
    trigger("bad_value", "asset: {any: ¶[]}"),
    trigger("bad_secret", "asset: {uri: ¶secret://a}"),
    trigger("bad_expression", "asset: {uri: 's3://¶${{ params.r }}'}"),
    trigger("self_trigger", "pipeline: {name: ¶p}"),
    trigger("bad_value", "pipeline: {name: q, on: ¶done}"),
    trigger("bad_value", "pipeline: {name: q, on: ¶[]}"),
    trigger("bad_expression", "{event: {type: x}, if: '¶${{ event.data.a }}'}"),
    trigger("bad_expression", "{event: {type: x}, if: event.data.a ¶and true}"),
    trigger("not_boolean", "{event: {type: x}, if: ¶event.type}"),
    trigger("wrong_type", "{event: {type: x}, if: ¶event.time == 'x'}"),
    trigger("unknown_name", "{event: {type: x}, if: ¶params.n > 1}"),
    trigger("unknown_name", "{event: {type: x}, if: ¶steps.a.state == 'x'}"),
    trigger("unknown_name", "{event: {type: x}, if: run.¶day == 'x'}"),
    trigger("unknown_name", "{schedule: {every: 1h}, if: ¶event.data.a}"),
    trigger("unknown_param", "{event: {type: x}, params: {¶m: 1}}"),
    trigger("wrong_type", "{event: {type: x}, params: {n: ¶one}}"),
    trigger("wrong_type", "{event: {type: x}, params: {n: ¶}}"),
    trigger("bad_value", "{event: {type: x}, params: {r: ¶c}}"),
    trigger("wrong_type", "{event: {type: x}, params: {n: '${{ ¶event.time }}'}}"),
    trigger("unknown_name", "{event: {type: x}, params: {r: 'a ${{ ¶params.n }}'}}"),
    trigger("bad_expression", "{event: {type: x}, params: {r: 'a ¶${{ event.id'}}"),
    trigger("bad_secret", "{event: {type: x}, params: {r: ¶secret://a}}"),
    trigger("wrong_type", "{event: {type: x}, params: {n: ¶['${{ event.id }}']}}"),
    trigger("wrong_type", "{event: {type: x}, params: {r: ¶{a: '${{ event.id }}'}}}"),
    trigger("wrong_type", "{event: {type: x}, params: ¶[]}"),
    top("missing_param", "params: {q: {type: int}}\ntriggers: [¶{event: {type: x}}]"),
    top("missing_param", "params: {q: {type: int}}\ntriggers: [{event: {type: x}, params: ¶{}}]"),
    trigger("missing_key", "{event: {type: x}, dedupe: ¶{window: 1h}}"),
    trigger("bad_value", "{event: {type: x}, dedupe: {key: ¶event.id}}"),
    trigger("unknown_name", "{event: {type: x}, dedupe: {key: '${{ ¶evnt.id }}'}}"),
    trigger("bad_secret", "{event: {type: x}, dedupe: {key: '${{ event.id }} ¶secret://a'}}"),
    trigger("wrong_kind", "{schedule: {every: 1h}, ¶dedupe: {key: '${{ run.id }}'}}"),
    trigger("bad_value", "{event: {type: x}, batch: {size: ¶0, within: 1m}}"),
    trigger("missing_key", "{event: {type: x}, batch: ¶{size: 2}}"),
    trigger("conflict", "{event: {type: x}, debounce: 1s, ¶batch: {size: 2, within: 1m}}"),
    top("bad_value", "overlap: ¶wait"),
    top("missing_key", "concurrency: ¶{}"),
    top("wrong_type", "concurrency: ¶1"),
    top("bad_value", "concurrency: {limit: ¶0}"),
    top("bad_value", "concurrency: {key: ¶region, limit: 1}"),
    top("unknown_name", "concurrency: {key: '${{ params.¶n }}', limit: 1}"),
    top("unknown_name", "concurrency: {key: '${{ ¶event.id }}', limit: 1}"),
    top("bad_secret", "concurrency: {key: '${{ run.id }} ¶secret://a', limit: 1}"),
    top("wrong_type", "notify: ¶failed"),
    top("missing_key", "notify: [¶{on: failed}]"),
    top("bad_value", "notify: [{on: [failed, ¶fails], webhook: https://x}]"),
    top("bad_value", "notify: [{on: ¶[], webhook: https://x}]"),
    top("bad_value", "notify: [{on: failed, webhook: ¶example.com}]"),
    top("bad_secret", "notify: [{on: failed, webhook: ¶https://x/secret://a}]"),
    top("bad_expression", "notify: [{on: failed, webhook: 'https://x/¶${{ run.id }}'}]"),
    top("not_supported", "notify: [{on: ¶slo_burn, webhook: https://x}]"),
    top("not_supported", "notify: [{on: failed, ¶to: sales, webhook: https://x}]"),
    # tests
    top("wrong_type", "tests: ¶{name: x}"),
    top("bad_value", "tests: ¶[" + "{name: x}, " * 501 + "]"),
    expectation("wrong_type", "¶it works"),
    expectation("missing_key", "¶{name: x, params: {day: 2026-01-31}}"),
    expectation("missing_key", "¶{expect: {state: failed}, params: {day: 2026-01-31}}"),
    expectation("missing_param", "¶{name: x, expect: {state: failed}}"),
    expectation(
        "duplicate_test",
        "{name: x, params: {day: 2026-01-31}, expect: {state: failed}}\n"
        "  - {name: ¶x, params: {day: 2026-01-31}, expect: {state: failed}}",
    ),
    assumption("unknown_key", "¶outcome: {load: failed}"),
    expectation("unknown_param", "{name: x, params: {day: 2026-01-31, ¶m: 1}, expect: {}}"),
    expectation("wrong_type", "{name: x, params: {day: ¶soon}, expect: {state: failed}}"),
    assumption("unknown_step", "outcomes: {¶laod: failed}"),
    assumption("unknown_step", "outcomes: {¶laod#1: failed}"),
    assumption("bad_value", "outcomes: {load: ¶broken}"),
    assumption("bad_value", "outcomes: {¶load#0: failed}"),
    assumption("bad_value", "outcomes: {¶load#5: failed}"),
    assumption("bad_value", "outcomes: {load#1: ¶skipped}"),
    assumption("wrong_kind", "outcomes: {nap: ¶failed}"),
    assumption("unknown_step", "outputs: {¶laod: {rows: 1}}"),
    assumption("unknown_name", "outputs: {load: {¶row: 1}}"),
    assumption("wrong_type", "outputs: {load: {rows: ¶many}}"),
    assumption("wrong_type", "outputs: {load: ¶3}"),
    assumption("unknown_step", "durations: {¶laod: 1s}"),
    assumption("bad_duration", "durations: {load: ¶soon}"),
    assumption("wrong_kind", "durations: {nap: ¶1s}"),
    assumption("unknown_name", "slots: {¶gpu: 1}"),
    assumption("bad_value", "slots: {default: ¶-1}"),
    assumption("wrong_type", "logical_date: ¶2026-01-31"),
    expected("bad_value", "¶{}"),
    expected("unknown_key", "{¶states: {}}"),
    expected("bad_value", "{state: ¶skipped}"),
    expected("unknown_step", "{steps: {¶laod: failed}}"),
    expected("bad_value", "{steps: {load: ¶broken}}"),
    expected("bad_value", "{steps: {load: ¶timed_out}}"),
    expected("bad_value", "{steps: {load: {reason: ¶because}}}"),
    expected("unknown_key", "{steps: {load: {¶attempt: 1}}}"),
    expected("bad_value", "{steps: {load: {started_s: ¶-1}}}"),
    expected("wrong_type", "{makespan_at_most: ¶60}"),
    expected("unknown_step", "{order: [load, ¶napp]}"),
    # steps and their graph
    whole("bad_value", HEAD + "steps: ¶{}"),
    whole("wrong_type", HEAD + "steps: ¶[]"),
    steps("reserved_name", "  ¶in: {run: x}"),
    steps("bad_name", "  ¶my-step: {run: x}"),
    steps("wrong_type", "  a: ¶run"),
    steps("no_kind", "  a: ¶{needs: []}"),
    step("two_kinds", "run: x\n    ¶python: a:b"),
    step("not_supported", "¶approval: {by: [x]}"),
    step("wrong_type", "run: x\n    foreach: ¶y"),
    step("wrong_type", "run: x\n    foreach: ¶3"),
    step("wrong_type", 'run: x\n    foreach: ¶"a ${{ params.n }}"'),
    step("wrong_type", 'run: x\n    foreach: ¶"${{ params.n }}"'),
    step("bad_value", "run: x\n    foreach: ¶[]"),
    step("not_supported", "run: x\n    foreach: ¶{artifact: parts.jsonl}"),
    step("bad_secret", "run: x\n    foreach: [¶secret://a]"),
    step("unknown_name", 'run: x\n    foreach: "${{ ¶item }}"'),
    step("conflict", "run: x\n    foreach: [1]\n    ¶matrix: {a: [1]}"),
    step("bad_value", "run: x\n    matrix: ¶{}"),
    step("bad_name", "run: x\n    matrix: {¶A: [1]}"),
    step("wrong_type", "run: x\n    matrix: {a: ¶1}"),
    step("wrong_kind", "wait: 5s\n    ¶foreach: [1]"),
    step("conflict", "run: x\n    ¶max_parallel: 2"),
    step("conflict", "run: x\n    ¶allow_failures: 2"),
    step("bad_value", "run: x\n    foreach: [1]\n    max_parallel: ¶0"),
    step("bad_value", "run: x\n    foreach: [1]\n    allow_failures: ¶some"),
    step("bad_value", "run: x\n    foreach: [1]\n    allow_failures: ¶101%"),
    step("unknown_name", 'run: x\n    env: {A: "${{ ¶item }}"}'),
    step("unknown_name", "run: x\n    foreach: [1]\n    if: ¶item > 1"),
    step("unknown_name", 'run: x\n    matrix: {os: [a]}\n    env: {A: "${{ item.¶so }}"}'),
    steps(
        "wrong_type",
        "  b: {run: x, foreach: [1], outputs: {n: int}}\n"
        '  a: {run: x, needs: [b], env: {A: "${{ steps.b.outputs.¶n }}"}}',
    ),
    steps(
        "unknown_name",
        "  b: {run: x, foreach: [1], outputs: {n: int}}\n"
        '  a: {run: x, needs: [b], env: {A: "${{ steps.b.outputs[0].¶m }}"}}',
    ),
    step("unknown_key", "run: x\n    ¶need: []"),
    step("unknown_need", "run: x\n    needs: [¶b]"),
    step("self_need", "run: x\n    needs: [¶a]"),
    step("wrong_type", "run: x\n    needs: ¶b"),
    steps("duplicate_need", "  b: {run: x}\n  a: {run: x, needs: [b, ¶b]}"),
    steps(
        "cycle", "  a: {run: x, needs: [b]}\n  b: {run: x, needs: [c]}\n  c: {run: x, needs: [¶a]}"
    ),
    steps("duplicate_step", "  a: {run: x}\nfinally: {¶a: {run: x}}"),
    steps("bad_need", "  a: {run: x}\nfinally: {z: {run: x, needs: [¶a]}}"),
    steps("bad_need", "  a: {run: x, needs: [¶z]}\nfinally: {z: {run: x}}"),
    step("missing_key", "sql: ¶{url: secret://db}"),
    step("injection", 'sql: {url: secret://db, query: "select ¶${{ params.n }}"}'),
    step("unknown_name", 'sql: {url: secret://db, query: "select ¶:n"}'),
    step("unknown_name", "sql: {url: secret://db, query: select 1, params: {¶n: 1}}"),
    step("bad_expression", 'sql: {query: x, url: "postgresql://¶${{ params.n }}"}'),
    step("bad_value", "sql: {url: ¶warehouse, query: x}"),
    step("bad_secret", "sql: {url: ¶secret://a/b, query: x}"),
    step("bad_value", "sql: {url: secret://db, query: x, to: ¶/etc/rows.csv}"),
    step("bad_value", "sql: {url: secret://db, query: x, to: ¶rows.xlsx}"),
    step("wrong_kind", "sql: {url: secret://db, query: x}\n    ¶env: {A: b}"),
    # keys of a step
    step("bad_value", "run: x\n    when: ¶all_ok"),
    step("bad_name", "run: x\n    class: ¶a_b"),
    step("bad_value", "run: x\n    outputs: {n: ¶number}"),
    step("reserved_name", "run: x\n    outputs: {¶for: int}"),
    step("bad_value", "run: x\n    artifacts: [¶../secret]"),
    step("bad_value", "run: x\n    workdir: ¶/etc"),
    step("bad_uri", "run: x\n    produces: [¶sales]"),
    step("bad_expression", "run: x\n    produces: ['s3://a/¶${{ params.n }}']"),
    step("bad_secret", "run: x\n    produces: [¶secret://a]"),
    step("bad_value", "run: x\n    retry: ¶-1"),
    step("wrong_type", "run: x\n    retry: ¶often"),
    step("bad_value", "run: x\n    retry: {backoff: ¶linear}"),
    step("wrong_type", "run: x\n    allow_failure: ¶yes"),
    step("bad_name", "run: x\n    env: {¶A-B: x}"),
    step("wrong_type", "run: x\n    env: {A: ¶[1]}"),
    step("wrong_kind", "run: x\n    ¶with: {a: 1}"),
    step("wrong_kind", "wait: 5m\n    ¶env: {A: x}"),
    step("bad_secret", "run: x\n    env: {A: ¶secret://}"),
    step("bad_secret", "run: x\n    env: {A: ¶secret://Warehouse}"),
    step("bad_secret", "run: x\n    env: {A: ¶secret://vault/item}"),
    step("bad_secret", 'run: x\n    env: {A: "b ¶secret://${{ run.id }}"}'),
    step("bad_secret", 'run: x\n    env: {A: "b ¶secret://a${{ run.id }}"}'),
    step("bad_secret", """run: x\n    env: {A: "${{ ¶'secret://a' }}"}"""),
    step("bad_secret", "run: curl -H ¶secret://token https://example.com"),
    step("bad_secret", "run: x\n    workdir: ¶secret://a"),
    step("bad_secret", "http: {url: 'https://¶secret://host/x'}"),
    step("bad_secret", "http: {url: 'https://x', headers: {A: Bearer ¶secret://1a}}"),
    step("bad_secret", "python: m:f\n    with: {a: [{b: ¶secret://-x}]}"),
    step("bad_value", "python: ¶module.function"),
    step("bad_duration", "wait: ¶soon"),
    step("wrong_type", "wait: ¶5"),
    step("conflict", "wait: ¶{}"),
    step("conflict", "wait: ¶{for: 1m, until: 2026-01-01T00:00:00Z}"),
    step("bad_value", "wait: {until: ¶2026-01-01T00:00:00}"),
    step("bad_value", "http: {url: ¶ftp://x}"),
    step("missing_key", "http: ¶{}"),
    step("bad_value", "http: {url: http://x, method: ¶get}"),
    step("bad_value", "http: {url: http://x, expect: [¶99]}"),
    step("conflict", "http: {url: http://x, json: 1, ¶body: x}"),
    # expressions
    step("injection", "run: echo ¶${{ params.n }}"),
    step("injection", "run: |\n      set -e\n      echo ¶${{ params.n }}"),
    step("not_boolean", "run: x\n    if: ¶params.n"),
    step("not_boolean", "run: x\n    if: '¶params.n + 1'"),
    step("wrong_type", "run: x\n    if: ¶params.day > 3"),
    step("bad_expression", "run: x\n    if: params.n > 1 ¶)"),
    step("bad_expression", "run: x\n    if: ¶${{ params.n > 1 }}"),
    step("bad_value", "run: x\n    if: ¶''"),
    step("unknown_name", "run: x\n    if: params.¶m > 1"),
    step("unknown_name", "run: x\n    if: ¶param.n > 1"),
    step("not_upstream", "run: x\n    if: steps.¶a.state == 'x'"),
    steps("not_upstream", "  b: {run: x}\n  a:\n    run: x\n    if: steps.¶b.state == 'failed'"),
    steps(
        "unknown_name",
        "  b: {run: x, outputs: {rows: int}}\n"
        "  a: {run: x, needs: [b], if: steps.b.outputs.¶row > 1}",
    ),
    steps("unknown_name", "  b: {run: x}\n  a: {run: x, needs: [b], if: steps.b.¶status == 'x'}"),
    step(
        "unknown_name", "run: x\n    env:\n      A: |\n        first\n        then ${{ params.¶x }}"
    ),
    step("unknown_name", "run: x\n    env:\n      A: >-\n        all of\n        ${{ params.¶x }}"),
    step("unknown_name", "run: x\n    env: {A: 'é ${{ params.n }} ${{ params.¶x }}'}"),
    step("unknown_name", 'python: a:b\n    with: {a: [1, {b: "${{ run.¶date }}"}]}'),
    step("unknown_name", 'http: {url: "https://x/${{ params.¶x }}"}'),
    step("bad_expression", 'run: x\n    env: {A: "¶${{ params.n "}'),
    step("bad_expression", 'run: x\n    class: x\n    workdir: "¶${{ params.n }}"'),
    step("bad_value", "run: x\n    inputs: {raw: ¶data}"),
    steps(
        "bad_value",
        '  b: {run: x}\n  a: {run: x, needs: [b], inputs: {r: ¶"${{ steps.b.state }}"}}',
    ),
]


@pytest.mark.parametrize(("code", "marked"), MISTAKES)
def test_each_mistake_has_its_code_and_place(code: str, marked: str) -> None:
    before, _, after = marked.partition("¶")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    loaded = load(before + after, "f.yaml")
    assert loaded.spec is None
    assert (line, column, code) in [(p.line, p.column, p.code) for p in loaded.problems]
    assert {p.file for p in loaded.problems} == {"f.yaml"}


def test_all_mistakes_come_at_once_in_order() -> None:
    loaded = load("headway: 2\npipeline: P\nteam: t\nownr: x\nsteps:\n  a: {rum: x}\n", "f")
    found = [(p.line, p.column, p.code) for p in loaded.problems]
    assert found == [
        (1, 1, "missing_key"),
        (1, 10, "bad_version"),
        (2, 11, "bad_name"),
        (4, 1, "unknown_key"),
        (6, 6, "no_kind"),
        (6, 7, "unknown_key"),
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ownr: x", "did you mean `owner`?"),
        ("steps: {a: {rum: x}}", "did you mean `run`?"),
        ("steps: {load: {run: x}, b: {run: x, needs: [laod]}}", "did you mean `load`?"),
        ("steps: {a: {run: x, when: all_succeded}}", "did you mean `all_succeeded`?"),
        (
            "params: {day: {type: date}}\nsteps: {a: {run: x, if: day == 'x'}}",
            "did you mean `params.day`?",
        ),
        ("steps: {a: {run: x}, b: {run: x, if: steps.a.state == 'x'}}", "add it to `needs`"),
        (
            "steps: {a: {run: 'x ${{ 1 }}'}}",
            'pass it by env: {NAME: "${{ … }}"} and write "$NAME" here',
        ),
    ],
)
def test_hints_say_the_mend(text: str, hint: str) -> None:
    assert hint in [p.hint for p in load(HEAD + text, "f").problems]


def test_a_cycle_is_told_once_with_its_path() -> None:
    text = (
        HEAD
        + "steps:\n  a: {run: x, needs: [c]}\n  b: {run: x, needs: [a]}\n  c: {run: x, needs: [b]}"
    )
    messages = [p.message for p in load(text, "f").problems]
    assert messages == ["the steps need each other in a circle: a -> c -> b -> a"]


def test_secrets_in_defaults_are_told_once_for_many_steps() -> None:
    text = HEAD + "defaults: {env: {A: secret://x}}\nsteps: {a: {run: x}, b: {run: x}}"
    assert [p.code for p in load(text.replace("//x", "//X"), "f").problems] == ["bad_secret"]
    assert load(text, "f").problems == ()


def test_a_default_of_a_param_is_no_secret() -> None:
    text = HEAD + "params: {a: {type: string, default: 'secret://x'}}\nsteps: {a: {run: x}}"
    [problem] = load(text, "f").problems
    assert (problem.code, problem.message) == ("bad_secret", "`params` cannot hold a secret")


def test_documents_are_separate_and_distinct() -> None:
    one = HEAD + "steps: {a: {run: x}}\n"
    two = one.replace("pipeline: p", "pipeline: q")
    loaded = load_all(f"{one}---\n{two}---\n{one}", "f")
    assert [one.spec and one.spec.pipeline for one in loaded] == ["p", "q", None]
    assert [(p.line, p.code) for p in loaded[2].problems] == [(13, "duplicate_pipeline")]
    assert [p.code for p in load(f"{one}---\n{two}", "f").problems] == ["several_documents"]
