"""YAML to objects to YAML: what is written back means the same, to the digest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headway.authoring.definition import Definition, document_of
from headway.authoring.writing import yaml_of
from headway.errors import DefinitionError
from headway.spec import load, load_all
from headway.spec.document import documents
from headway.spec.report import Report

ROOT = Path(__file__).parents[3]
_BEGIN = re.compile(r"^([ ]*)headway: 1$", re.M)


def texts() -> list[tuple[str, str]]:
    """Return every text of examples, documents and tests that is a valid definition."""
    found = []
    for folder, ending in (("examples", "*.yaml"), ("docs", "*.md"), ("tests", "*.py")):
        for file in sorted((ROOT / folder).rglob(ending)):
            source = file.read_text("utf-8")
            for number, text in enumerate(_parts(source)):
                if all(one.spec for one in load_all(text, "f")):
                    found.append((f"{file.relative_to(ROOT)}-{number}", text))
    return found


def _parts(source: str) -> list[str]:
    """Return what begins with the version's line and ends where a fence or a string does."""
    parts = []
    for match in _BEGIN.finditer(source):
        rest = source[match.start() :]
        end = re.search(r'^```|"""|\'\'\'', rest, re.M)
        parts.append(rest[: end.start()] if end else rest)
    return parts


TEXTS = texts()


def test_definitions_were_found() -> None:
    names = " ".join(name for name, _ in TEXTS)
    assert len(TEXTS) >= 8
    assert "examples/weather" in names
    assert "docs/definitions.md" in names


@pytest.mark.parametrize("text", [text for _, text in TEXTS], ids=[name for name, _ in TEXTS])
def test_what_is_written_back_has_the_same_digest(text: str) -> None:
    for one, root in zip(load_all(text, "f"), documents(text, Report("f")), strict=True):
        assert one.spec is not None
        again = load(yaml_of(document_of(root)), "again")
        assert again.problems == ()
        assert again.spec is not None
        assert again.spec.canonical == one.spec.canonical
        assert again.spec.digest == one.spec.digest


ODD = r"""
headway: 1
pipeline: odd
team: demo
owner: me@example.com
description: "two\nlines\twith a tab, ☃, \x07, \ufeff, \U0001f600, \u2028 and \x85"
labels: {version: 1.10, on: yes, hex: 0x1F, octal: "0o17", flag: true}
defaults: {env: {N: 007, X: 1e3}}
params:
  n: {type: float, default: 1e22}
  t: {type: string, default: "012"}
  d: {type: object, default: {"": [[], {}, null, {a: [1, {b: 2}]}], "a: b": "# no", "- x": "!y"}}
steps:
  a: &a
    run: |
      set -e
        indented
      echo 'x: y'
    env: {A: 1.10, B: null-ish, C: "true", D: -0.0}
    retry: 3
  b: *a
  c: {run: "echo 1\n", env: {LONG: "x"}}
  d: {run: " leading\n and more\n"}
  e: {run: "trailing \nand more"}
  f: {run: "many\n\n\nlines\n\n"}
  g: {wait: 90s}
finally:
  z: {run: "yes"}
"""


def test_odd_values_survive() -> None:
    definition = Definition.from_yaml(ODD)
    assert definition.keys["labels"] == {
        "version": "1.10",
        "on": "yes",
        "hex": "0x1F",
        "octal": "0o17",
        "flag": True,
    }
    assert definition.steps["a"]["env"]["A"] == "1.10"
    assert list(definition.finally_) == ["z"]
    written = definition.to_yaml()
    found = load(ODD, "f").spec
    assert found is not None
    assert definition.spec().digest == found.digest
    assert Definition.from_yaml(written).document == definition.document
    assert "    run: |\n      set -e\n        indented\n" in written


def test_an_object_can_be_changed() -> None:
    definition = Definition.from_yaml(ODD)
    definition.steps["a"]["timeout"] = "5m"
    [step] = [one for one in definition.spec().canonical["steps"] if one["name"] == "a"]
    assert step["timeout"] == 300.0
    definition.steps["a"]["timeout"] = "soon"
    with pytest.raises(DefinitionError) as caught:
        definition.spec()
    assert caught.value.problems[0].code == "bad_duration"


def test_what_is_no_definition_is_refused_whole() -> None:
    with pytest.raises(DefinitionError) as caught:
        Definition.from_yaml("headway: 2\nsteps: {}\n", "x.yaml")
    assert len(caught.value.problems) > 3
