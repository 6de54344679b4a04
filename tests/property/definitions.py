"""Valid definitions of every shape, as plain values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from headway.authoring.values import WORDS
from headway.spec.joining import RULES
from headway.spec.params import TYPES

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(lambda n: n not in WORDS)
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
).filter(lambda text: "${{" not in text and not text.startswith("secret:"))
SAID = TEXT.filter(lambda text: bool(text.strip()))
DURATIONS = st.sampled_from(["1ms", "90s", "5m", "1h30m", "2d"])
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
VARIABLES = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,5}", fullmatch=True),
    st.one_of(TEXT, st.booleans(), NUMBERS),
    max_size=3,
)
RETRY = st.one_of(
    st.integers(0, 1000),
    st.fixed_dictionaries(
        {},
        optional={
            "max": st.integers(0, 1000),
            "backoff": st.sampled_from(["exponential", "fixed"]),
            "delay": DURATIONS,
            "cap": DURATIONS,
            "jitter": st.booleans(),
        },
    ),
)


def _has_distinct_names(triggers: list[dict[str, Any]]) -> bool:
    names = [trigger["name"] for trigger in triggers if "name" in trigger]
    return len(set(names)) == len(names)


_EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True),
        "if": st.sampled_from(["run.team == 'x'", "true"]),
    },
)
_OF_EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "dedupe": st.fixed_dictionaries(
            {"key": st.just("${{ event.id }}")}, optional={"window": DURATIONS}
        ),
        "debounce": DURATIONS,
    },
)
_ENDS = st.lists(st.sampled_from(["succeeded", "failed", "timed_out"]), min_size=1, max_size=3)
_URIS = st.lists(
    st.sampled_from(["s3://raw/a", "s3://raw/b?x=%20", "hdfs:///c"]),
    min_size=1,
    max_size=3,
    unique=True,
)
_KINDS = st.one_of(
    st.fixed_dictionaries(
        {"cron": st.sampled_from(["@daily", "*/5 * * * 1-5", "0  6 ? * MON#1"])},
        optional={
            "timezone": st.sampled_from(["UTC", "Europe/Paris"]),
            "jitter": st.sampled_from(["0s", "90s"]),
            "missed": st.sampled_from(["latest", "all", "none"]),
        },
    ).map(lambda schedule: {"schedule": schedule}),
    st.fixed_dictionaries(
        {"every": st.sampled_from(["1s", "1h30m", "2d"])},
        optional={
            "start": st.just("2026-01-31T06:00:00+02:00"),
            "end": st.just("2027-01-31T06:00:00Z"),
        },
    ).map(lambda schedule: {"schedule": schedule}),
    st.tuples(
        st.one_of(
            st.fixed_dictionaries(
                {
                    "source": st.sampled_from(["github", "s3", "standard-webhooks"]),
                    "secret": st.sampled_from(["secret://a", ["secret://a", "secret://b"]]),
                },
                optional={
                    "name": st.sampled_from(["made", "other"]),
                    "event": st.sampled_from(["push", ["push", "pull_request.opened"], ["push"]]),
                },
            ).map(lambda webhook: {"webhook": webhook}),
            st.fixed_dictionaries(
                {"type": st.sampled_from(["com.example.*", "on", "*"])},
                optional={"source": SAID, "subject": st.just("a*")},
            ).map(lambda event: {"event": event}),
            st.sampled_from(["any", "all"]).flatmap(
                lambda how: _URIS.map(lambda uris: {"asset": {how: uris}})
            ),
            st.fixed_dictionaries({"name": st.just("ingest")}, optional={"on": _ENDS}).map(
                lambda pipeline: {"pipeline": pipeline}
            ),
        ),
        _OF_EVENTS,
    ).map(lambda parts: {**parts[0], **parts[1]}),
)
TRIGGERS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.tuples(_KINDS, _EVENTS).map(lambda parts: {**parts[1], **parts[0]}), max_size=4
).filter(_has_distinct_names)
NOTICES = st.lists(
    st.fixed_dictionaries(
        {
            "on": st.one_of(st.just("failed"), st.just(["recovered", "failed"])),
            "webhook": st.sampled_from(["secret://chat", "https://example.com/hook"]),
        }
    ),
    max_size=2,
)


_STATES = st.sampled_from(["succeeded", "failed", "cancelled"])
_MOMENTS = st.one_of(st.integers(0, 9), st.sampled_from([0.5, "90s"]))
_EXPECTED_STEP = st.one_of(
    _STATES,
    st.fixed_dictionaries(
        {},
        optional={
            "state": _STATES,
            "reason": st.sampled_from(["if", "timed_out"]),
            "attempts": st.integers(0, 9),
            "started_s": _MOMENTS,
        },
    ),
)


@st.composite
def trials(
    draw: st.DrawFn, steps: dict[str, dict[str, Any]], params: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return tests of a definition with these steps; `params` are those that must be given."""
    names = st.sampled_from(sorted(steps))
    performed = [name for name in sorted(steps) if "wait" not in steps[name]]
    assumed: dict[str, st.SearchStrategy[Any]] = {
        "outcomes": st.dictionaries(names, st.sampled_from(["succeeded", "skipped"]), max_size=2),
        "logical_date": st.just("2026-01-31T06:00:00+02:00"),
    }
    if performed:
        some = st.sampled_from(performed)
        assumed["durations"] = st.dictionaries(some, DURATIONS, max_size=2)
        attempts = some.map(lambda name: f"{name}#1")
        assumed["outcomes"] = st.dictionaries(attempts, st.just("failed"), max_size=2)
    expect = st.fixed_dictionaries(
        {"state": _STATES},
        optional={
            "steps": st.dictionaries(names, _EXPECTED_STEP, max_size=2),
            "makespan_at_most": DURATIONS,
            "order": st.lists(names, max_size=2),
        },
    )
    test = st.fixed_dictionaries({"name": SAID, "expect": expect}, optional=assumed)
    given = {"params": params} if params else {}
    distinct: Any = st.lists(test, min_size=1, max_size=3, unique_by=lambda each: each["name"])
    return [{**given, **each} for each in draw(distinct)]


_ANY = {
    "when": st.sampled_from(RULES),
    "if": st.just("1 < 2"),
    "class": st.sampled_from(["small", "io"]),
    "retry": RETRY,
    "timeout": DURATIONS,
    "queue_timeout": DURATIONS,
    "allow_failure": st.booleans(),
    "produces": _URIS,
}
_ITEMS = st.one_of(
    st.lists(JSON, min_size=1, max_size=3), st.just("${{ [1, 2] }}"), st.just(["${{ 1 }}"])
)
_REPEATED: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "max_parallel": st.integers(1, 9),
            "allow_failures": st.sampled_from([0, 3, "10%", "12.50%", "100%"]),
        },
    ).flatmap(
        lambda held: st.one_of(
            _ITEMS.map(lambda items: {"foreach": items, **held}),
            st.dictionaries(NAMES, _ITEMS, min_size=1, max_size=2).map(
                lambda axes: {"matrix": axes, **held}
            ),
        )
    ),
)
_OUTPUTS = st.dictionaries(NAMES, st.sampled_from(TYPES), max_size=3)
_PROCESS = {
    "env": VARIABLES,
    "outputs": _OUTPUTS,
    "artifacts": st.lists(st.sampled_from(["a.csv", "out/*.parquet"]), max_size=2),
    "workdir": st.just("sub"),
}
RUN = st.fixed_dictionaries({"run": SAID}, optional={**_ANY, **_PROCESS})
PYTHON = st.fixed_dictionaries(
    {"python": st.just("a.b:c")},
    optional={
        **_ANY,
        **_PROCESS,
        "with": st.dictionaries(TEXT, JSON, max_size=3),
        "interpreter": SAID,
    },
)
HTTP = st.fixed_dictionaries(
    {
        "http": st.fixed_dictionaries(
            {"url": st.just("https://example.com/x")},
            optional={
                "method": st.sampled_from(["GET", "POST"]),
                "headers": st.dictionaries(SAID, TEXT, max_size=2),
                "json": JSON,
                "expect": st.lists(st.integers(100, 599), max_size=3),
                "timeout": DURATIONS,
            },
        )
    },
    optional=_ANY,
)
SQL = st.fixed_dictionaries(
    {
        "sql": st.one_of(
            st.just({"url": "secret://db", "query": "select 1"}),
            st.just({"url": "sqlite://", "query": "select :a", "params": {"a": 1}, "to": "a.csv"}),
        )
    },
    optional={**_ANY, "outputs": st.just({"rows": "list"})},
)
WAIT = st.fixed_dictionaries(
    {"wait": st.one_of(DURATIONS, st.fixed_dictionaries({"for": DURATIONS}))}, optional=_ANY
)
STEPS = st.one_of(
    st.tuples(st.one_of(RUN, PYTHON, HTTP, SQL), _REPEATED).map(lambda two: {**two[0], **two[1]}),
    WAIT,
)
PARAMS = st.one_of(
    st.fixed_dictionaries({"type": st.just("string"), "default": TEXT}),
    st.fixed_dictionaries({"type": st.just("object"), "required": st.booleans()}),
    st.fixed_dictionaries({"type": st.just("float"), "default": st.floats(-1e9, 1e9)}),
    st.fixed_dictionaries(
        {"type": st.just("list"), "default": st.lists(JSON, max_size=3), "description": TEXT}
    ),
    st.just({"type": "date", "default": "${{ run.logical_date }}"}),
)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Return a definition; a step may need those before it, whatever the names are."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    steps: dict[str, Any] = {}
    for name in names:
        needs = draw(st.lists(st.sampled_from(list(steps)), unique=True)) if steps else []
        steps[name] = {**draw(STEPS), **({"needs": needs} if needs else {})}
    head: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "description": TEXT,
                "runbook": SAID,
                "labels": st.dictionaries(TEXT, st.one_of(TEXT, st.booleans(), NUMBERS)),
                "code": st.fixed_dictionaries({"path": SAID}),
                "params": st.dictionaries(NAMES, PARAMS, max_size=3),
                "triggers": TRIGGERS,
                "overlap": st.sampled_from(["allow", "queue", "skip", "replace"]),
                "concurrency": st.fixed_dictionaries(
                    {"limit": st.integers(1, 10)}, optional={"key": st.just("${{ run.team }}")}
                ),
                "notify": NOTICES,
                "priority": st.integers(-1000, 1000),
                "timeout": DURATIONS,
                "defaults": st.fixed_dictionaries(
                    {}, optional={"class": st.just("io"), "env": VARIABLES, "retry": RETRY}
                ),
            },
        )
    )
    last = draw(st.sampled_from([{}, {"finally": {"last_of_all": draw(RUN)}}]))
    start = {"headway": 1, "pipeline": "made", "team": "demo", "owner": draw(SAID)}
    required = [n for n, param in head.get("params", {}).items() if _is_required(param)]
    for trigger in head.get("triggers", []):
        if required:
            trigger["params"] = {name: {} for name in required}
    tests = draw(trials(steps, {name: {} for name in required})) if draw(st.booleans()) else []
    return {**start, **head, "steps": steps, **last, **({"tests": tests} if tests else {})}


def _is_required(param: dict[str, Any]) -> bool:
    return bool(param.get("required", "default" not in param))
