"""Breaks a whole installation in every way, and prints what it cost.

    python -m tests.fault.chaos [SCENARIO…] [--broker redis|rabbitmq] [--long|--short] [--keep DIR]

Exit status 1 if anything was lost, doubled or stuck, or took three times as long as it should.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fault.chaos.brokers import NAMES
from tests.fault.chaos.report import Outcome, details, table
from tests.fault.chaos.running import run, servers
from tests.fault.chaos.scenarios import Scale, scenarios


def main() -> int:
    known = scenarios()
    parser = argparse.ArgumentParser(prog="python -m tests.fault.chaos")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(known))
    parser.add_argument("--broker", choices=NAMES, default="redis")
    parser.add_argument("--long", action="store_true", help="the full figures")
    parser.add_argument("--short", action="store_true", help="as in the tests")
    parser.add_argument("--keep", type=Path, help="leave logs and journals in this folder")
    given = parser.parse_args()
    unknown = set(given.scenarios) - set(known)
    if unknown:
        parser.error(
            f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        )
    scale = Scale.LONG if given.long else Scale.SHORT if given.short else Scale.NORMAL
    folder = given.keep or Path(tempfile.mkdtemp(prefix="headway-chaos-"))
    try:
        outcomes = _run_all(given.scenarios or list(known), given.broker, scale, folder)
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print()
    print(table(outcomes))
    wrong = [line for outcome in outcomes for line in details(outcome)]
    if wrong:
        print()
    for line in wrong:
        print(line)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def _run_all(names: list[str], broker: str, scale: Scale, folder: Path) -> list[Outcome]:
    known = scenarios()
    outcomes = []
    with servers(broker) as ground:
        for name in names:
            started = time.monotonic()
            print(f"{name}: {known[name].fault} …", flush=True)
            try:
                outcome = run(known[name], ground, folder / name, scale, tell=_tell)
            except Exception as error:  # the other scenarios are worth their figures
                problem = f"{type(error).__name__}: {error}"
                outcome = Outcome(known[name].fault, problems=[problem])
            outcomes.append(outcome)
            seconds = time.monotonic() - started
            _tell(f"  {'ok' if outcome.ok else 'NOT OK'} after {seconds:.0f} s")
            for line in details(outcome)[:20]:
                _tell(f"  {line}")
    return outcomes


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
