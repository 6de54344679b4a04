"""The process edge: finds the command, runs it, and turns every failure into words and a status."""

from __future__ import annotations

import os
import sys
import traceback
from difflib import get_close_matches

import typer
from typer.exceptions import Abort, TyperException

from headway.cli.catalogue import CATALOGUE, Entry, find, overview
from headway.cli.failures import report, wrong_use
from headway.cli.output import nobody_reads
from headway.errors import DefinitionError, HeadwayError

INTERRUPTED = 130


def invoke(args: list[str]) -> int:
    """Return the exit status; what went wrong has been said by then."""
    as_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    entry: Entry | None = None
    try:
        entry = _entry(args)
        status = typer.main.get_command(_application(entry)).main(
            args=args, prog_name="headway", standalone_mode=False
        )
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except HeadwayError as error:
        return report(error, as_json=as_json)
    except TyperException as error:
        return report(wrong_use(error), as_json=as_json)
    except ModuleNotFoundError as error:
        return _missing(error, entry, as_json=as_json)
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as in `headway runs list | head -1`; nobody is left to be told.
        nobody_reads()
        return 0
    except Exception as error:
        return _crashed(error, as_json=as_json)


def _entry(args: list[str]) -> Entry | None:
    """Return the command that is asked for, or None where an option stands in its place."""
    if not args or args[0].startswith("-"):
        return None
    if entry := find(args[0]):
        return entry
    near = get_close_matches(args[0], [known.name for known in CATALOGUE], n=1)
    hint = f"did you mean `{near[0]}`?" if near else "see `headway --help`"
    raise DefinitionError(f"there is no command `{args[0]}`", code="usage", hint=hint)


def _application(entry: Entry | None) -> typer.Typer:
    app = typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=overview().split("\n")[2])(_root)
    if entry is not None:
        entry.load()(app)
        return app
    for target in {known.target: known for known in CATALOGUE}.values():
        _load_if_there(target, app)
    return app


def _root() -> None:
    """Headway's command line."""


def _load_if_there(entry: Entry, app: typer.Typer) -> None:
    try:
        entry.load()(app)
    except ModuleNotFoundError:
        return  # completion offers what is installed


def _missing(error: ModuleNotFoundError, entry: Entry | None, *, as_json: bool) -> int:
    missing = (error.name or "").partition(".")[0]
    if entry is None or entry.extra is None or missing == "headway":
        return _crashed(error, as_json=as_json)
    message = f"`headway {entry.name}` needs `{missing}`, which is not installed"
    hint = f"install the extra: pip install 'headway[{entry.extra}]'"
    return report(DefinitionError(message, code="missing_extra", hint=hint), as_json=as_json)


def _crashed(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("HEADWAY_DEBUG"):
        traceback.print_exception(error)
    said = " ".join(str(error).split())[:300]
    message = f"{type(error).__name__}: {said}" if said else type(error).__name__
    defect = HeadwayError("internal", message, "set HEADWAY_DEBUG=1 to see where it comes from")
    return report(defect, as_json=as_json)
