"""The Python front end: `@step` and `@pipeline` functions to the same canonical spec as YAML.

Pure: decorating and calling build a description, nothing runs and no file is read. The standard
library alone is imported, because a worker's interpreter imports this too when it calls a step.
Called by authors through `headway`, and by `headway.loading` when it reads a Python definition.
`headway.authoring.definition` (a definition as an object, from YAML and back) is imported on its
own: it needs the reader of definitions.
"""

from __future__ import annotations

from headway.authoring.building import Handle, finally_
from headway.authoring.mistakes import AuthoringError
from headway.authoring.pipelines import Pipeline, pipeline
from headway.authoring.steps import StepFunction, http, python, shell, sql, step, wait
from headway.authoring.values import Expression, expression, has, index, item

__all__ = [
    "AuthoringError",
    "Expression",
    "Handle",
    "Pipeline",
    "StepFunction",
    "expression",
    "finally_",
    "has",
    "http",
    "index",
    "item",
    "pipeline",
    "python",
    "shell",
    "sql",
    "step",
    "wait",
]
