"""Definitions: YAML text to a canonical, digested spec, or all of its problems with their places.

Pure: no file is opened, no clock is read. Bad input never raises; `load` gives problems instead.
The canonical form holds every default, so its digest pins what a run does. Called by the command
line, the API and the Python front end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway.spec.definition import Loaded, Spec, load, load_all
from headway.spec.jsonschema import schema
from headway.spec.params import Param, bind
from headway.spec.starting import completed

__all__ = ["Loaded", "Param", "Spec", "bind_params", "completed", "load", "load_all", "schema"]


def bind_params(
    definition: Spec | Mapping[str, Any], given: Mapping[str, Any], run: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a JSON value for each declared param: given and coerced, or its default.

    Text from a command line becomes the declared type. `run` holds `id`, `pipeline`, `team`,
    `logical_date` and, if a schedule started it, `data_interval_start` and `data_interval_end`
    (aware datetimes or RFC 3339 texts), which defaults may name. Raises DefinitionError with code
    `invalid_params` and every problem.
    """
    canonical = definition.canonical if isinstance(definition, Spec) else definition
    return bind(canonical["params"], given, run)
