"""What workers say: that they are there, claims and heartbeats, the hostile ones too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headway.protocol.messages import (
    ClaimAnswers,
    HeartbeatAnswer,
    Registered,
    parse,
)
from tests.unit.api.house import SALES, House


def test_a_worker_with_another_team_s_token_is_refused_and_leaves_nothing(house: House) -> None:
    before = house.storage.workers.all()
    body = {"team": "risk", "worker": "w1", "boot": "b1", "classes": ["small"], "slots": 4}
    body |= {"hostname": "host", "machine_boot": "m1", "version": "0.1.0"}
    answer = house.work("register", body, team="analytics")
    assert answer.status_code == 403
    assert answer.json()["code"] == "wrong_team"
    assert house.storage.workers.all() == before


def test_a_worker_registers_claims_and_beats(house: House) -> None:
    house.running()
    registered = parse(Registered, house.register().content)
    assert (registered.team, registered.lease_ms, registered.heartbeat_ms) == (
        "analytics",
        60_000,
        3_000,
    )
    [dispatch] = house.bell.rung

    answers = parse(ClaimAnswers, house.claim(dispatch).content)
    again = parse(ClaimAnswers, house.claim(dispatch).content)

    [claim] = answers.claims
    assert answers.lease_ms == 60_000
    assert (claim.won, claim.attempt) == (True, dispatch.attempt)
    assert claim.work is not None
    assert claim.work.body["run"] == "echo extract"
    assert again == answers
    held = {"attempt": dispatch.attempt, "fence": dispatch.fence}
    beat = {"worker": "w1", "boot": "b1", "slots": 4, "slots_free": 3, "running": [held]}
    answer = parse(HeartbeatAnswer, house.work("heartbeat", beat).content)
    assert answer.renewed == [dispatch.attempt]


def test_a_second_worker_loses_the_claim_and_gets_no_token(house: House) -> None:
    house.running()
    house.register("w2")
    [dispatch] = house.bell.rung
    house.claim(dispatch)

    [claim] = house.claim(dispatch, worker="w2").json()["claims"]

    assert (claim["won"], claim["reason"]) == (False, "running")
    assert claim["token"] is None
    assert claim["work"] is None


def test_another_team_cannot_claim(house: House) -> None:
    house.running()
    [dispatch] = house.bell.rung
    house.register("spy", team="risk")
    [claim] = house.claim(dispatch, worker="spy", team="risk").json()["claims"]
    assert not claim["won"]
    assert claim["work"] is None


def test_an_older_boot_is_told_that_it_is_superseded(house: House) -> None:
    house.running()
    house.register(boot="b2")
    [dispatch] = house.bell.rung
    response = house.claim(dispatch, boot="b1")
    assert (response.status_code, response.json()["code"]) == (409, "superseded")


def test_a_worker_id_belongs_to_one_team(house: House) -> None:
    house.register("w1")
    assert house.register("w1", team="risk").status_code == 403


def test_a_class_that_makes_no_queue_is_refused(house: House) -> None:
    body = {"worker": "w1", "boot": "b1", "classes": ["no.class"], "slots": 1}
    body |= {"hostname": "h", "machine_boot": "m", "version": "1"}
    response = house.work("register", body)
    assert (response.status_code, response.json()["code"]) == (422, "bad_class")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"worker":1}', b'{"worker":"w","boot":"b","claims":[]}', b"\xff"]
)
def test_what_is_no_message_is_refused(house: House, body: bytes) -> None:
    response = house.ask("worker", "POST", "/worker/v1/claims", content=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_message")


def test_a_worker_with_free_slots_hears_which_queues_of_its_team_wait_for_long(
    house: House,
) -> None:
    house.running()

    def unheard(**changed: Any) -> list[str]:
        house.clock.advance(timedelta(seconds=5))  # looked up no more often
        beat = {"worker": "w1", "boot": "b1", "slots": 4, "slots_free": 1, **changed}
        answer: list[str] = house.work("heartbeat", beat).json()["unheard"]
        return answer

    assert unheard() == []
    house.clock.advance(timedelta(seconds=30))
    assert unheard() == ["analytics.default"]
    assert unheard(slots_free=0) == unheard(draining=True) == []
    house.register("w9", "b9", team="sales")
    beat = {"worker": "w9", "boot": "b9", "slots": 4, "slots_free": 4}
    assert house.work("heartbeat", beat, team="sales").json()["unheard"] == []
    house.won("extract")
    assert unheard() == []


@pytest.mark.parametrize(
    "changed", [{"slots": "2"}, {"slots": 2.0}, {"slots": True}, {"draining": "no"}]
)
def test_a_heartbeat_of_other_types_is_refused(house: House, changed: dict[str, Any]) -> None:
    house.running()
    beat = {"worker": "w1", "boot": "b1", "slots": 4, "slots_free": 3}
    assert house.work("heartbeat", beat).status_code == 200
    refused = house.work("heartbeat", {**beat, **changed})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_message")


def test_the_definition_has_two_steps() -> None:
    """Many tests above believe so."""
    assert SALES.count("run:") == 2
