"""What a Python file defines, checked like a file of YAML: problems stand at the Python source."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from headway.authoring.definition import checked
from headway.authoring.wire import decoded
from headway.clock import Clock, SystemClock
from headway.errors import Problem
from headway.loading import bounded
from headway.spec.definition import Loaded


def read_python(path: Path, clock: Clock | None = None) -> tuple[list[Loaded], str]:
    """Return what each pipeline of the file is, good or bad, and all good ones as YAML text."""
    ended = bounded.run(path, clock or SystemClock())
    if ended.problem is not None:
        message = f"the file could not be run: {ended.problem}"
        return [_refused(_at_start(path, message))], ""
    try:
        return _read(json.loads(ended.answer), path)
    except (ValueError, KeyError, TypeError, RecursionError):
        message = "the module wrote on the descriptor that is kept for its answer"
        return [_refused(_at_start(path, message))], ""


def _read(answer: Any, path: Path) -> tuple[list[Loaded], str]:
    files = [_shown(str(file), path) for file in answer["files"]]
    found: list[Loaded] = []
    texts: list[str] = []
    names: set[tuple[str, str]] = set()
    for each in answer["pipelines"]:
        tree = decoded(each, files)
        loaded, text = checked(tree)
        if loaded.spec is not None and (key := (loaded.spec.team, loaded.spec.pipeline)) in names:
            message = f"the pipeline `{key[1]}` of team `{key[0]}` is defined twice"
            problem = Problem(*tree.place, "duplicate_pipeline", message, "give one another name=")
            loaded = _refused(problem)
        elif loaded.spec is not None:
            names.add(key)
            texts.append(text)
        found.append(loaded)
    found += [_refused(_problem(each, path)) for each in answer["problems"]]
    return found, "---\n".join(texts)


def _at_start(path: Path, message: str) -> Problem:
    return Problem(str(path), 1, 1, "python_error", message, "see what `python FILE` does")


def _problem(row: dict[str, Any], path: Path) -> Problem:
    hint = None if row["hint"] is None else str(row["hint"])
    place = (_shown(str(row["file"]), path), int(row["line"]), int(row["column"]))
    return Problem(*place, str(row["code"]), str(row["message"]), hint)


def _refused(problem: Problem) -> Loaded:
    return Loaded(None, (problem,))


def _shown(file: str, path: Path) -> str:
    """Return the author's file as it was named on the command line, others relative to here."""
    if os.path.abspath(file) == os.path.abspath(path):
        return str(path)
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative
