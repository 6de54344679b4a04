"""The standard output when it is no use any more."""

from __future__ import annotations

import os
import sys


def nobody_reads() -> None:
    """Let what is still written go nowhere: the reader has gone, or there is no room.

    Else Python would say so once more when it ends.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
