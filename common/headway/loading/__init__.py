"""Definition files in Python: run in a child process of bounded time and memory, read as data.

Called by the command line. `child` is the program of that process: it runs the author's module and
builds its pipelines; `bounded` starts it; `python_files` checks what comes back. Nothing of the
author's is imported by the process that holds tokens.
"""

from __future__ import annotations

from headway.loading.python_files import read_python

__all__ = ["read_python"]
