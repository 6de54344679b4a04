"""The entry of the `headway` command. Help and version are answered before anything is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from headway import __version__
from headway.cli.catalogue import overview
from headway.cli.output import nobody_reads

CANNOT_WRITE = 1


def main() -> None:
    """Run the command line of this process and exit with its status."""
    if sys.stdout is None:  # closed by who started us: there is nobody to write to
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        nobody_reads()
        status = 0
    except OSError as error:
        nobody_reads()
        print(f"error: cannot write to the standard output: {error.strerror}", file=sys.stderr)
        status = CANNOT_WRITE
    sys.exit(status)


def run(args: Sequence[str]) -> int:
    """Return the exit status of the command that `args` asks for."""
    if not any(name in os.environ for name in ("_HEADWAY_COMPLETE", "_TYPER_COMPLETE_ARGS")):
        if list(args) in ([], ["--help"], ["-h"]):
            print(overview())
            return 0
        if list(args) == ["--version"]:
            print(f"headway {__version__}")
            return 0
    from headway.cli.edge import invoke

    return invoke(list(args))
