"""`headway validate` and `headway apply`: definition files, checked here or stored there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from headway.cli.arguments import FilesArgument, JsonOption, unreadable
from headway.cli.connection import connect
from headway.cli.failures import lines_of
from headway.cli.printing import clean, print_document, print_table, rows_of
from headway.errors import DefinitionError, Problem

if TYPE_CHECKING:
    from headway.spec import Loaded, Spec


# A byte more than a definition may have: of a file without an end no more than that is read.
_ENOUGH = 1024 * 1024 + 1


@dataclass(frozen=True, slots=True)
class Definitions:
    """The files as they were read, what they define, and what is wrong with them."""

    files: tuple[tuple[str, str], ...]
    specs: tuple[Spec, ...]
    problems: tuple[Problem, ...]


def register_validate(app: typer.Typer) -> None:
    app.command("validate", help="Check definitions and show every mistake.")(validate)


def register_apply(app: typer.Typer) -> None:
    app.command("apply", help="Store definitions: all of them, or none.")(apply)


def validate(files: FilesArgument, json: JsonOption = False) -> int:
    """Check the files on this machine; no coordinator is asked."""
    found = read_definitions(files)
    invalid = DefinitionError("", found.problems) if found.problems else None
    if json:
        pipelines = [
            {"pipeline": s.pipeline, "team": s.team, "digest": s.digest} for s in found.specs
        ]
        problems = [problem.as_dict() for problem in found.problems]
        print_document({"valid": not problems, "pipelines": pipelines, "problems": problems})
    if invalid is not None:
        for line in lines_of(invalid):
            print(clean(line), file=sys.stderr)
        return invalid.exit_status
    if not json:
        for spec in found.specs:
            print(f"{spec.team}/{spec.pipeline} is valid, digest {spec.digest[:12]}")
    return 0


def apply(files: FilesArgument, json: JsonOption = False) -> int:
    """Check the files, then store them in one step."""
    definitions = valid_definitions(files)
    with connect() as client:
        answer = client.apply(definitions.files)
    for warning in rows_of(answer, "warnings"):
        print(clean(f"warning: {warning.get('message')} ({warning.get('hint')})"), file=sys.stderr)
    if json:
        print_document(answer)
        return 0
    rows = [
        (
            str(row.get("pipeline")),
            str(row.get("team", "-")),
            str(row.get("version")),
            "new version" if row.get("changed") else "unchanged",
            str(row.get("digest"))[:12],
        )
        for row in answer.get("applied", [])
    ]
    print_table(("PIPELINE", "TEAM", "VERSION", "CHANGE", "DIGEST"), rows, empty="nothing applied")
    return 0


def valid_definitions(paths: Sequence[Path]) -> Definitions:
    """Return what the files define. Raises DefinitionError with every problem of every file."""
    found = read_definitions(paths)
    if found.problems:
        count = len(found.problems)
        message = f"{count} mistake{'s' if count > 1 else ''} in the definition"
        raise DefinitionError(message, found.problems)
    return found


def read_definitions(paths: Sequence[Path]) -> Definitions:
    """Return what the files define, good and bad.

    Raises DefinitionError for an unreadable file that is the only one.
    """
    files: list[tuple[str, str]] = []
    specs: list[Spec] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            name, found, text = _loaded(path)
        except DefinitionError as error:
            if len(paths) == 1 or error.problems:
                raise
            # The others' mistakes are told with it.
            problems.append(Problem(str(path), 1, 1, error.code, error.message, error.hint))
            continue
        before = len(problems)
        for loaded in found:
            problems.extend(loaded.problems)
            if loaded.spec is not None:
                problems.extend(_also_in(loaded.spec, name, specs))
                specs.append(loaded.spec)
        if len(problems) == before:
            files.append((name, text))
    return Definitions(tuple(files), tuple(specs), tuple(dict.fromkeys(problems)))


def _loaded(path: Path) -> tuple[str, list[Loaded], str]:
    """Return the file's name, what it defines, and its text: YAML, whatever it is written in."""
    name, content = _read(path)
    if path.suffix == ".py":
        from headway.loading import read_python

        return name, *read_python(path)
    from headway.spec import load_all

    return name, load_all(content, name), content.decode("utf-8", "replace")


def _also_in(spec: Spec, file: str, earlier: Sequence[Spec]) -> list[Problem]:
    """Return the problem that an earlier file defines the same pipeline, or none."""
    if not any((one.team, one.pipeline) == (spec.team, spec.pipeline) for one in earlier):
        return []
    message = f"the pipeline `{spec.pipeline}` of team `{spec.team}` is in an earlier file, too"
    return [Problem(file, 1, 1, "duplicate_pipeline", message, "keep one of them")]


def _read(path: Path) -> tuple[str, bytes]:
    if str(path) == "-":
        return "stdin", sys.stdin.buffer.read(_ENOUGH)
    try:
        with path.open("rb") as stream:
            return str(path), stream.read(_ENOUGH)
    except OSError as error:
        raise unreadable(path, error) from error
