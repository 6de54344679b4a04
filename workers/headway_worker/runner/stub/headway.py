"""Answers `from headway import …` in an interpreter where Headway is not installed.

A file that describes a pipeline also holds the functions of its steps. Here it is imported to call
one of them, so decorators keep the function and forget the rest. Standard library only, syntax of
Python 3.8.
"""

from __future__ import annotations

import functools
from typing import Any

__version__ = "0"


class StepFunction:
    """A function under `@step`: it runs when it is called."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.__headway_function__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__headway_function__(*args, **kwargs)

    def with_options(self, **_: Any) -> StepFunction:
        return self


class Pipeline:
    """A function under `@pipeline`: nothing is built here."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise _elsewhere("a pipeline")

    def build(self) -> Any:
        raise _elsewhere("a pipeline")


def step(function: Any = None, **_: Any) -> Any:
    return StepFunction(function) if function is not None else StepFunction


def pipeline(**_: Any) -> Any:
    return Pipeline


class Expression:
    """Named by annotations, and by a module that keeps a part of `item` for its pipelines."""

    def __getitem__(self, _: Any) -> Expression:
        return self


item = Expression()
index = Expression()


class Handle:
    """Only named by annotations here."""


class AuthoringError(Exception):
    """Never raised here."""


def expression(source: str) -> Any:
    return source


def _only_in_pipelines(*_: Any, **__: Any) -> Any:
    raise _elsewhere("a step without a function")


shell = http = sql = wait = python = finally_ = has = _only_in_pipelines


def _elsewhere(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} is built where Headway is installed, and this is a step's interpreter"
    )
