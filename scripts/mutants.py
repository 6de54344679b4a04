"""Break the engine and admission on purpose, one small way at a time; each must make a test fail.

    python scripts/mutants.py [--all] [NAME …]

A mutant is made in a copy of the source that stands first on the import path; the tree itself is
not touched. The unit tests try first, then the property tests. With `--all`, both try every mutant
and the table says which of them sees it. Exits 1 if one survives, 2 if a mutant cannot be made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.mutants.catalogue import MUTANTS, Mutant  # noqa: E402

SOURCE = ROOT / "coordinator" / "headway_coordinator"
UNIT = ("tests/unit/engine", "tests/unit/admission")
PROPERTY = (
    "--hypothesis-profile=unshrunk",
    "tests/property/test_engine_machine.py",
    "tests/property/test_determinism.py",
)
# Warnings, order and output are not what is asked here; hangs are ended.
PYTEST = ("-x", "-q", "--timeout=120", "-p", "no:cacheprovider", "-p", "no:randomly")
PARALLEL = 2


def main(arguments: Sequence[str]) -> int:
    everything = "--all" in arguments
    names = {a for a in arguments if not a.startswith("--")}
    chosen = [m for m in MUTANTS if not names or m.name in names]
    problems = [problem for mutant in chosen if (problem := unmakeable(mutant))]
    if problems or not chosen:
        print(*(problems or ["no such mutant"]), sep="\n", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(PARALLEL) as pool:
        healthy = [suite for suite in (UNIT, PROPERTY) if killed(None, suite)]
        if healthy:
            print("the tests fail without any mutant", file=sys.stderr)
            return 2
        return tell(chosen, pool.map(lambda m: verdict(m, everything=everything), chosen))


def unmakeable(mutant: Mutant) -> str | None:
    count = (SOURCE / mutant.file).read_text(encoding="utf-8").count(mutant.before)
    return None if count == 1 else f"{mutant.name}: its text stands {count} times in {mutant.file}"


def verdict(mutant: Mutant, *, everything: bool) -> str:
    """Return which tests saw the mutant; empty when none did."""
    seen: list[str] = []
    for name, suite in (("unit", UNIT), ("property", PROPERTY)):
        if (everything or not seen) and killed(mutant, suite):
            seen.append(name)
    return " ".join(seen)


def killed(mutant: Mutant | None, tests: Sequence[str]) -> bool:
    """Say whether the tests fail on a copy of the source with the mutant in it."""
    with tempfile.TemporaryDirectory(prefix="headway-mutant-") as folder:
        copy = Path(folder) / "headway_coordinator"
        # Whole: the tests' fixtures import other parts than those that are broken here.
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not None:
            file = copy / mutant.file
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
        return not passes(folder, tests)


def passes(folder: str, tests: Sequence[str]) -> bool:
    environment = {
        **os.environ,
        "PYTHONPATH": folder,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "1",
    }
    command = [sys.executable, "-m", "pytest", "-o", "required_plugins=", *PYTEST, *tests]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if result.returncode not in (0, 1):  # neither passed nor failed: that would prove nothing
        raise SystemExit(f"pytest ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.returncode == 0


def tell(mutants: Sequence[Mutant], verdicts: Iterable[str]) -> int:
    """Print the table as it grows; return the exit status."""
    width = max(len(m.name) for m in mutants)
    survivors = 0
    for mutant, seen in zip(mutants, verdicts, strict=True):
        survivors += not seen
        print(f"{seen or 'SURVIVED':14} {mutant.name:{width}}  {mutant.file}", flush=True)
    print(f"\n{len(mutants)} mutants, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
