"""The entry of the `headway` command. Help and version are answered before anything is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from headway import __version__
from headway.cli.catalogue import overview


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(run(sys.argv[1:]))


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
