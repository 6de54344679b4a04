"""Text that is meant to break the reader: it gives problems, never an exception."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headway.spec import load, load_all
from headway.spec.document import MAX_ALIASES, MAX_BYTES
from headway.spec.writing import written

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"
NAMES = [
    "",
    " ",
    "null",
    "true",
    "NaN",
    "1e5",
    "../../etc/passwd",
    "'; DROP TABLE run; --",
    "<script>alert(1)</script>",
    "$(touch x)",
    "{{ 7 * 7 }}",
    "%s%n",
    "é",
    "Ω≈ç√",
    "表ポ",
    "\u202etest\u202c",
    "\u200b",
    "👩‍👩‍👧",
    "a" * 5000,
    "in",
    "-",
    "a.b",
    "a b",
    "a\nb",
]


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (bomb(), "too_large"),
        (f"a: &a [{'x, ' * 3000}]\nb: [{'*a, ' * 40}]", "too_large"),
        (f"a: &a x\nb: [{'*a, ' * (MAX_ALIASES + 1)}]", "too_many_aliases"),
        ("[" * 100_000, "too_deep"),
        ("{a: " * 5000, "too_deep"),
        ("- " * 5000, "too_deep"),
        ("x" * (MAX_BYTES + 1), "too_large"),
        ("é" * (MAX_BYTES // 2 + 1), "too_large"),
        ("- x\n" * 120_000, "too_large"),
        ("9" * 10_000, "bad_number"),
        (b"\xff\xfeh\x00e\x00", "not_utf8"),
        (b"a: \xc3\x28", "not_utf8"),
        ("a: \ud800", "bad_character"),
        ('"\\ud800"', "syntax"),
        ("a: \x7f", "bad_character"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_bombs_are_refused(text: str | bytes, code: str) -> None:
    loaded = load(text, "f")
    assert loaded.spec is None
    assert code in [p.code for p in loaded.problems]


def test_a_mark_at_the_start_and_carriage_returns_are_harmless() -> None:
    text = ("\ufeff" + HEAD + "steps: {a: {run: x}}\n").replace("\n", "\r\n")
    assert load(text.encode(), "f").problems == ()


def test_fifty_aliases_are_fine() -> None:
    text = HEAD + f"labels: {{a: &a x, {', '.join(f'b{i}: *a' for i in range(MAX_ALIASES))}}}\n"
    assert load(text + "steps: {a: {run: x}}\n", "f").problems == ()


PLACES = ("pipeline", "team", "step", "param", "output", "need", "class")
LIKE_ANY_OTHER = ("null", "true", "in")  # as the name of a pipeline, a team or a class
STRANGE = [
    (name, place)
    for place in PLACES
    for name in NAMES
    if not (name in LIKE_ANY_OTHER and place in ("pipeline", "team", "class"))
]


@pytest.mark.parametrize(("name", "place"), STRANGE, ids=range(len(STRANGE)))
def test_strange_names_are_refused_with_a_place(name: str, place: str) -> None:
    quoted = '"' + name.replace("\n", "\\n") + '"'
    names = {"pipeline": "p", "team": "t", "step": "a", "param": "b", "output": "c"}
    names |= {"need": "z", "class": "d", place: quoted}
    text = (
        f"headway: 1\npipeline: {names['pipeline']}\nteam: {names['team']}\nowner: o\n"
        f"params: {{{names['param']}: {{type: int}}}}\nsteps:\n"
        f"  {names['step']}: {{run: x, needs: [{names['need']}], class: {names['class']},"
        f" outputs: {{{names['output']}: int}}}}\n  z: {{run: x}}\n"
    )
    problems = load(text, "f").problems
    assert problems
    assert all(p.line >= 1 and p.column >= 1 and len(p.message) < 400 for p in problems)


@settings(max_examples=150, deadline=None)
@given(st.text() | st.binary())
@example("a: &a\n  <<: *a")
@example("%TAG ! x\n---")
def test_no_text_raises(text: str | bytes) -> None:
    loaded = load(text, "f")
    assert loaded.spec is None
    assert loaded.problems


PIECES = st.sampled_from(
    [
        *"{}[]:,-?&*!|>'\"%@#\n ab1.",
        "${{",
        "}}",
        "steps:",
        "run: x",
        "params",
        "&a ",
        "*a",
        "  ",
        "if: ",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_yaml_like_text_raises(text: str) -> None:
    for whole in (
        text,
        HEAD + "steps:\n  a: {" + text,
        HEAD + "steps:\n  a:\n    run: x\n    " + text,
    ):
        loaded = load(whole, "f")
        assert (loaded.spec is None) == bool(loaded.problems)


EXPRESSIONS = st.lists(
    st.sampled_from(
        [
            *"()[]{}.,?:!-+*/%<>='\"\\ab1 ",
            "&&",
            "||",
            "==",
            "in",
            "params.n",
            "steps",
            "has(",
            ".map(",
            "x,",
        ]
    ),
    max_size=25,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS)
def test_no_condition_raises(source: str) -> None:
    quoted = "'" + source.replace("'", "''") + "'"
    text = HEAD + f"params: {{n: {{type: int}}}}\nsteps:\n  a: {{run: x, if: {quoted}}}\n"
    loaded = load(text, "f")
    assert (loaded.spec is None) == bool(loaded.problems)
    assert all(p.line == 7 for p in loaded.problems)


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_what_some_readers_take_for_the_end_of_a_line_is_refused(character: str) -> None:
    """The parser took it out of quoted text, and folded the spaces around it."""
    head = "headway: 1\npipeline: p\nteam: t\nowner: o\nsteps:\n"
    [raw] = load_all(f'{head}  a: {{run: "x {character} y"}}', "f.yaml")
    [problem] = raw.problems
    assert (problem.code, problem.line) == ("bad_character", 6)
    escape = f"\\u{ord(character):04X}"
    assert problem.hint is not None
    assert escape in problem.hint
    [escaped] = load_all(f'{head}  a: {{run: "x {escape} y"}}', "f.yaml")
    assert escaped.spec is not None
    assert escaped.spec.canonical["steps"][0]["run"] == f"x {character} y"
    [again] = load_all(written(escaped.spec.canonical), "f.yaml")
    assert again.spec is not None
    assert again.spec.digest == escaped.spec.digest


ODD_VALUES = (
    *("null", "-1", "1.5", "true", "[]", "{}", "''", "'* * * * *'", "'H * * * *'", "'@every 1s'"),
    *("'${{ event.id }}'", "'${{ x'", "secret://a", "s3://a", "0s", "99999d", "'\\0'", "[null]"),
    *("0001-01-01T00:00:00Z", "'9999-12-31T23:59:59+00:00'", "{a: '${{ run.id }}'}", "1e400"),
)
KEYS_OF_TRIGGERS = (
    *("name", "if", "params", "dedupe", "debounce", "batch", "cron", "every", "timezone", "jitter"),
    *("start", "end", "missed", "source", "event", "secret", "type", "subject", "uri", "any"),
    *("all", "on", "key", "window", "size", "within"),
)
PARTS = st.dictionaries(st.sampled_from(KEYS_OF_TRIGGERS), st.sampled_from(ODD_VALUES), max_size=6)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["schedule", "webhook", "event", "asset", "pipeline"]), PARTS, PARTS
        ),
        max_size=3,
    )
)
@example([("schedule", {"every": "1h", "start": "0001-01-01T00:00:00Z"}, {})])
@settings(deadline=None)
def test_no_trigger_raises(triggers: list[tuple[str, dict[str, str], dict[str, str]]]) -> None:
    lines = [f"  - {_flow({kind: _flow(inner), **outer})}" for kind, inner, outer in triggers]
    text = HEAD + "params: {n: {type: int, default: 1}}\ntriggers:\n" + "\n".join(lines)
    loaded = load(text + "\nsteps: {a: {run: x}}\n", "f")
    assert all(problem.hint for problem in loaded.problems)
    if loaded.spec is not None:
        assert load(written(loaded.spec.canonical), "f").spec is not None


def _flow(entries: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
