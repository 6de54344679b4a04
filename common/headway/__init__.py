"""Headway's shared language: what pipeline authors, workers and coordinators agree on.

Authors import what builds a pipeline from here: `from headway import pipeline, step`. It is loaded
when it is first asked for, so that `import headway` alone costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway.authoring import AuthoringError as AuthoringError
    from headway.authoring import Expression as Expression
    from headway.authoring import Handle as Handle
    from headway.authoring import Pipeline as Pipeline
    from headway.authoring import StepFunction as StepFunction
    from headway.authoring import expression as expression
    from headway.authoring import finally_ as finally_
    from headway.authoring import has as has
    from headway.authoring import http as http
    from headway.authoring import index as index
    from headway.authoring import item as item
    from headway.authoring import pipeline as pipeline
    from headway.authoring import python as python
    from headway.authoring import shell as shell
    from headway.authoring import sql as sql
    from headway.authoring import step as step
    from headway.authoring import wait as wait

__version__ = "0.1.0"

_AUTHORING = frozenset(
    {
        *("AuthoringError", "Expression", "Handle", "Pipeline", "StepFunction"),
        *("expression", "finally_", "has", "http", "index", "item", "pipeline", "python", "shell"),
        *("sql", "step", "wait"),
    }
)


def __getattr__(name: str) -> Any:
    if name not in _AUTHORING:
        raise AttributeError(f"module 'headway' has no attribute {name!r}")
    from headway import authoring

    return getattr(authoring, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_AUTHORING})
