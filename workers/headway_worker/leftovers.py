"""Processes that an earlier boot of this worker left running: found by its journal, and killed.

Its launcher ends them all within a second of its death; this is for what escaped even that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from headway.protocol.messages import Held
from headway_worker.journal import Record
from headway_worker.runner.processtree import descendants, parents, signal_all, stat_fields

_PASSES = 500
_PAUSE_SECONDS = 0.01


def reap(
    left: Sequence[Record], spooled: Iterable[str], *, pause: Callable[[float], None]
) -> list[Held]:
    """Kill what is left of journaled attempts; return those that so ended without a result."""
    for _ in range(_PASSES):
        pids = leftovers(left)
        if not pids:
            break
        signal_all(sorted(pids), signal.SIGKILL)
        pause(_PAUSE_SECONDS)
    known = set(spooled)
    return [
        Held(attempt=str(record["attempt"]), fence=int(record["fence"]))
        for record in left
        if record["attempt"] not in known
    ]


def leftovers(left: Sequence[Record]) -> set[int]:
    """Return the living processes of journaled attempts: below one, in its session, or so marked.

    A pid alone proves nothing, as pids are used again: the start time must fit too.
    """
    if not left:
        return set()
    roots = {int(record["pid"]): int(record["start"] or 0) for record in left if "pid" in record}
    scratches = {str(record["scratch"]).encode() for record in left if "scratch" in record}
    found: set[int] = set()
    for pid in parents():
        fields = stat_fields(pid)
        if not fields or fields[0] == "Z" or pid == os.getpid():
            continue
        session, start = int(fields[3]), int(fields[19])
        if roots.get(pid) == start:
            found |= {pid, *descendants(pid)}
        elif (session in roots and start >= roots[session] > 0) or _is_marked(pid, scratches):
            found.add(pid)
    return found


def _is_marked(pid: int, scratches: set[bytes]) -> bool:
    """Say whether the process carries an attempt's own folder in its environment."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    prefix = b"HEADWAY_WORKDIR="
    return any(
        entry[len(prefix) :] in scratches
        for entry in environment.split(b"\0")
        if entry.startswith(prefix)
    )
