"""Errors in words: one JSON document on stdout where it was asked for, text on stderr always."""

from __future__ import annotations

import sys

from typer.exceptions import TyperException

from headway.cli.output import nobody_reads
from headway.cli.printing import clean, print_document
from headway.errors import DefinitionError, HeadwayError, Problem


def report(error: HeadwayError, *, as_json: bool) -> int:
    """Say what went wrong and return the exit status of the error's family."""
    try:
        if as_json:
            print_document({"error": error.as_dict()})
        sys.stdout.flush()
    except OSError:  # nobody reads it there; below it is said once more
        nobody_reads()
    for line in lines_of(error):
        print(clean(line), file=sys.stderr)
    return error.exit_status


def lines_of(error: HeadwayError) -> list[str]:
    """Return the error as text: each located mistake on its own line, or message and hint."""
    problems = error.problems if isinstance(error, DefinitionError) else ()
    lines = [str(p) if p.line else _placeless(p) for p in problems]
    if not lines:
        lines = [f"error: {error.message}"]
        if error.hint:
            lines.append(f"hint: {error.hint}")
    return lines


def wrong_use(error: TyperException) -> HeadwayError:
    """Return a command line that was not understood as an error of the user's."""
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path} --help`" if context is not None else None
    message = error.format_message().strip().rstrip(".")
    if message.startswith("Usage:"):
        message = "missing command"
    return DefinitionError(message[:1].lower() + message[1:], code="usage", hint=hint)


def _placeless(problem: Problem) -> str:
    """Line 0 is no place: a param or a part of a request, named by what stands for the file."""
    subject = f"{problem.file}: " if problem.file else "error: "
    return subject + problem.message + _tail(problem.hint)


def _tail(hint: str | None) -> str:
    return f" ({hint})" if hint else ""
