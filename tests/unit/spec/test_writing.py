"""What is written back as YAML loads to the same digest and reads well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headway.errors import DefectError
from headway.spec import Spec, load, load_all
from headway.spec.writing import written

ROOT = Path(__file__).parents[3]
HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"


def spec_of(text: str) -> Spec:
    loaded = load(text, "f")
    assert loaded.spec is not None, loaded.problems
    return loaded.spec


def documented() -> str:
    text = (ROOT / "docs/definitions.md").read_text(encoding="utf-8")
    [example_text] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return str(example_text)


FILES = sorted((ROOT / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_examples_keep_their_digests(file: Path) -> None:
    for loaded in load_all(file.read_text(encoding="utf-8"), str(file)):
        assert loaded.spec is not None
        assert spec_of(written(loaded.spec.canonical)).digest == loaded.spec.digest


def test_the_documented_example_keeps_its_digest() -> None:
    spec = spec_of(documented())
    assert spec_of(written(spec.canonical)).digest == spec.digest


def test_it_is_written_as_people_write() -> None:
    text = HEAD + (
        "timeout: 90m\nlabels: {a: 'on'}\n"
        "params: {n: {required: false, type: int}, s: {default: 'no', type: string}}\n"
        "steps:\n"
        "  a: {run: \"one\\ntwo\\n\", retry: {max: 2, delay: 1s}, timeout: 500ms, if: '!true'}\n"
        "  w: {wait: 10m, needs: [a], when: all_done}\n"
        "  h: {http: {url: https://x, json: {a: 1.0, b: null}, timeout: 5s}, retry: 3}\n"
        "finally: {z: {run: x, class: big, allow_failure: true}}\n"
    )
    assert (
        written(spec_of(text).canonical)
        == """\
headway: 1
pipeline: p
team: t
owner: o
labels:
  a: "on"
params:
  n:
    type: int
    required: false
  s:
    type: string
    default: "no"
timeout: 1h30m
steps:
  a:
    if: '!true'
    run: |
      one
      two
    retry:
      max: 2
      delay: 1s
    timeout: 500ms
  w:
    needs:
      - a
    when: all_done
    wait: 10m
  h:
    http:
      url: https://x
      json:
        a: 1.0
        b: null
      timeout: 5s
    retry: 3
finally:
  z:
    run: x
    class: big
    allow_failure: true
"""
    )


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\x7f"), min_size=1, max_size=40
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS
       | st.floats(allow_nan=False, allow_infinity=False),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
       max_leaves=8))  # fmt: skip
@example("1e5", "0x1F")
@example("0o17", ["~", "null", "=", "<<", "- a", "a: b", "#", "!", "&a", "*a", " a", "a ", "\t"])
@example("a\n\n", "\n a\nb")
@example("12:30", {"on": "off", "1": 1, "": ""})
def test_any_text_and_value_survives(text: str, value: Any) -> None:
    spec = spec_of(HEAD + "steps: {a: {python: a:b}}\n")
    step = {
        **spec.canonical["steps"][0],
        "env": {"A": text.replace("${{", "")},
        "with": {"v": value},
    }
    canonical = {**spec.canonical, "description": text, "steps": [step]}
    try:
        again = spec_of(written(canonical))
    except DefectError:
        # `${{` in a value, or a character that YAML cannot hold: no definition has them either.
        assert "${{" in repr(value) or not _is_writable(repr((text, value)))
        return
    assert again.canonical["steps"][0]["with"] == {"v": value}
    assert again.canonical["description"] == text


def _is_writable(shown: str) -> bool:
    return r"\x" not in shown and r"\u" not in shown
