"""Two minutes of chaos: one thing after the other breaks, and nothing is lost, doubled or stuck."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.chaos.brokers import NAMES
from tests.fault.chaos.report import details, table
from tests.fault.chaos.running import run, servers
from tests.fault.chaos.scenarios import Scale, tour


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("broker", NAMES)
def test_nothing_is_lost_doubled_or_stuck(broker: str, tmp_path: Path) -> None:
    with servers(broker) as ground:
        outcome = run(tour(), ground, tmp_path / "world", Scale.SHORT, tell=print)
    print(table([outcome]))
    assert details(outcome) == []
    assert outcome.ok
