"""Options that several commands share, and the reading of `-p`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.errors import DefinitionError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The run's id, how it begins (6 or more), or `latest`.")
]
IdArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="Its id, how that begins (6 or more), or `latest`."),
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, for the record.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A definition; `-` reads stdin.")
]
ParamsOption = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", metavar="KEY=VALUE", help="A parameter, or @FILE.json."),
]
FilesArgument = Annotated[
    list[Path], typer.Argument(metavar="FILES", help="Definition files; `-` reads stdin.")
]


def demand_consent(question: str, *, given: bool) -> None:
    """Return once it may be done. Raises DefinitionError where nobody can be asked."""
    if given:
        return
    if not sys.stdin.isatty():
        message = "nobody can be asked whether to do it"
        raise DefinitionError(message, code="usage", hint="say --yes")
    typer.confirm(question, abort=True, err=True)


def parameters(given: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of `-p key=value` and `-p @file.json`; a later one wins.

    Raises DefinitionError (code `usage`) for another shape.
    """
    found: dict[str, Any] = {}
    for text in given:
        if text.startswith("@"):
            found.update(_from_file(Path(text[1:])))
            continue
        key, equals, value = text.partition("=")
        if not equals or not key:
            hint = "write it as -p key=value, or -p @file.json"
            raise DefinitionError(f"`{text}` is no parameter", code="usage", hint=hint)
        found[key] = value
    return found


def _from_file(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(file, error) from error
    except (ValueError, RecursionError) as error:
        message = f"{file} is not JSON: {error}"
        raise DefinitionError(message, code="invalid_params") from error
    if not isinstance(content, dict):
        message = f"{file} must hold one JSON object, name to value"
        raise DefinitionError(message, code="invalid_params")
    return content


def unreadable(file: Path, error: OSError) -> DefinitionError:
    """Return the error for a file of the user's that cannot be read."""
    message = f"cannot read {file}: {error.strerror or error}"
    hint = f"name the files in it: {file}/*.yaml" if isinstance(error, IsADirectoryError) else None
    return DefinitionError(message, code="unreadable_file", hint=hint)
