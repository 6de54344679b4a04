"""Checks what a Headway left behind; exit status 1 if anything must not be.

python -m tests.fault.checker DATABASE-URL [--states DIR]… [--effects FILE] [--accepted FILE]
    [--seen FILE] [--lease SECONDS]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fault.checker import check, read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fault.checker")
    parser.add_argument("database", help="postgresql://… or sqlite:///PATH")
    parser.add_argument("--states", type=Path, action="append", default=[])
    parser.add_argument("--effects", type=Path)
    parser.add_argument("--accepted", type=Path)
    parser.add_argument("--seen", type=Path)
    parser.add_argument("--lease", type=float, help="the workers' lease in seconds")
    given = parser.parse_args()
    history = read(
        given.database,
        states=given.states,
        effects=given.effects,
        accepted=given.accepted,
        seen=given.seen,
    )
    history.worker_lease_s = given.lease
    found = check(history)
    for violation in found:
        print(violation)
    print(f"{len(history.runs)} runs, {len(history.attempts)} attempts, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
