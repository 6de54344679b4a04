"""Whatever a definition holds: trees, objects and YAML of it are one and the same spec."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import given

from headway.authoring.definition import Definition, checked
from headway.authoring.located import located
from headway.authoring.places import Sources
from headway.authoring.sites import Given, Site
from headway.authoring.wire import decoded, encoded
from headway.authoring.writing import yaml_of
from headway.spec import load, schema
from headway.spec.changes import changes
from headway.spec.writing import written
from tests.property.definitions import definitions

VALIDATOR = jsonschema.Draft202012Validator(schema())


@given(definitions())
def test_yaml_to_objects_to_yaml(document: dict[str, Any]) -> None:
    first = load(yaml_of(document), "f")
    assert first.problems == ()
    assert first.spec is not None
    again = Definition.from_yaml(yaml_of(document))
    assert again.spec().digest == first.spec.digest
    assert Definition.from_yaml(again.to_yaml()).document == again.document


@given(definitions())
def test_json_means_the_same_as_the_yaml_that_is_written(document: dict[str, Any]) -> None:
    """JSON is YAML, and its writer is not ours."""
    by_json = load(json.dumps(document), "f").spec
    by_yaml = load(yaml_of(document), "f").spec
    if by_json is not None:  # escapes of JSON's for what is above U+FFFF are no YAML
        assert by_yaml is not None
        assert by_json.digest == by_yaml.digest


@given(definitions())
def test_a_tree_of_python_values_means_the_same(document: dict[str, Any]) -> None:
    tree = located(Given(document, Site("f.py", 1)), Sources())
    files: list[str] = []
    handed = decoded(json.loads(json.dumps(encoded(tree, files))), files)
    found, text = checked(handed)
    assert found.problems == ()
    assert found.spec is not None
    written = load(yaml_of(document), "f").spec
    assert written is not None
    assert found.spec.digest == written.digest
    assert text == yaml_of(document)


@given(definitions())
def test_what_is_stored_is_written_back(document: dict[str, Any]) -> None:
    spec = load(yaml_of(document), "f").spec
    assert spec is not None
    again = load(written(spec.canonical), "f").spec
    assert again is not None
    assert again.digest == spec.digest
    assert changes(spec.canonical, again.canonical) == []


@given(definitions())
def test_the_schema_for_editors_takes_what_the_reader_takes(document: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
