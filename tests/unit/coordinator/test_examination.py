"""What is said of servers before anybody connects to them."""

from __future__ import annotations

from headway_coordinator.examination import examine_broker


def test_an_address_that_cannot_be_one_is_a_finding_with_its_mend() -> None:
    [finding] = examine_broker("sentinel://:hush@a,b/0")
    assert finding.check == "broker.reachable"
    assert "not the master" in finding.message
    assert "master_name" in str(finding.mend)
    assert "hush" not in str(finding)
