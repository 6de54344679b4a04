"""The mutants are texts of the engine: each must stand in it once, or `make mutants` cannot run."""

from __future__ import annotations

from pathlib import Path

import headway_coordinator
from tests.mutants.catalogue import MUTANTS

SOURCE = Path(headway_coordinator.__file__).parent


def test_every_mutant_can_be_made() -> None:
    found = [
        f"{mutant.name}: {mutant.before!r} in {mutant.file}"
        for mutant in MUTANTS
        if (SOURCE / mutant.file).read_text(encoding="utf-8").count(mutant.before) != 1
    ]
    assert found == []
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
