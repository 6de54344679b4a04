"""What workers report: completions, the hostile ones too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from headway.protocol.messages import (
    Received,
    parse,
)
from headway.protocol.proof import completion_token, seal
from headway_coordinator.application.completions import REFUSALS
from tests.unit.api.house import KEY, House, Won


def report(house: House, *sealed: dict[str, Any], team: str = "analytics") -> Received:
    response = house.work("completions", {"completions": list(sealed)}, team=team)
    return parse(Received, response.content)


def test_a_completion_is_accepted_however_often_it_comes_and_counts_once(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    sealed = won.sealed(house, outputs={"rows": 1})
    before = house.nudges

    received = [report(house, sealed, sealed) for _ in range(2)]
    house.lead()
    received.append(report(house, sealed))
    house.lead()

    assert all(r == Received(accepted=[won.dispatch.attempt]) for r in received)
    assert house.nudges == before + 3
    [extract, _] = house.shown(run)["steps"]
    assert (extract["state"], len(extract["attempts"])) == ("succeeded", 1)


def forged(house: House, won: Won) -> list[tuple[str, dict[str, Any]]]:
    """Return completions that are not what the claim's winner said."""
    good = won.sealed(house)
    spy = completion_token(
        b"a guess", attempt=won.dispatch.attempt, fence=1, worker="w1", boot="b1"
    )
    other_boot = completion_token(
        KEY, attempt=won.dispatch.attempt, fence=won.dispatch.fence, worker="w1", boot="b0"
    )
    body = good["body"]
    changed = body.replace('"succeeded"', '"failed"')
    return [
        ("no mac", {"body": body, "mac": "0" * 64}),
        ("another key", {"body": body, "mac": seal(body.encode(), spy)}),
        ("another boot's token", {"body": body, "mac": seal(body.encode(), other_boot)}),
        ("a changed body", {"body": changed, "mac": good["mac"]}),
        ("another fence", won.sealed(house, fence=won.dispatch.fence + 1)),
        ("another run", won.sealed(house, run="r0")),
        ("another step", won.sealed(house, step="load")),
        ("another worker", won.sealed(house, worker="w9")),
        ("another attempt", won.sealed(house, attempt="r0-0-1")),
    ]


def test_forged_completions_are_refused_and_move_nothing(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    for what, sealed in forged(house, won):
        received = report(house, sealed)
        assert received.accepted == [], what
        assert len(received.refused) == 1, what
    house.lead()
    assert house.storage.inbox.pending() == []
    assert house.shown(run)["steps"][0]["state"] == "running"


def test_another_teams_worker_cannot_report_even_what_is_proved(house: House) -> None:
    house.running()
    won = house.won("extract")
    received = report(house, won.sealed(house), team="risk")
    assert received.accepted == []
    assert received.refused == {won.dispatch.attempt: "unknown attempt"}


def test_an_unclaimed_attempt_cannot_be_reported(house: House) -> None:
    house.running()
    [dispatch] = house.bell.rung
    token = completion_token(
        KEY, attempt=dispatch.attempt, fence=dispatch.fence, worker="w1", boot="b1"
    )
    received = report(house, Won(dispatch, token, {}).sealed(house))
    assert received.refused == {dispatch.attempt: "not claimed"}


def test_a_malformed_completion_is_refused_by_name(house: House) -> None:
    house.running()
    won = house.won("extract")
    body = f'{{"attempt": "{won.dispatch.attempt}", "more": 1}}'
    mac = seal(body.encode(), won.token)
    assert report(house, {"body": body, "mac": mac}).refused == {won.dispatch.attempt: "malformed"}
    assert report(house, {"body": "[" * 50_000, "mac": mac}) == Received()


def test_every_refusal_is_counted_and_the_first_of_a_kind_logged(house: House) -> None:
    house.running()
    won = house.won("extract")
    good = won.sealed(house)
    body = won.completion(house).model_dump(mode="json")
    large = json.dumps({**body, "outputs": {"a": "x" * 256 * 1024}})
    sealed = [
        {"body": "no json", "mac": "0" * 64},
        {"body": large, "mac": seal(large.encode(), won.token)},
        {**good, "mac": "0" * 64},
        won.sealed(house, fence=9),
        won.sealed(house, attempt="nobody"),
        won.sealed(house, step="load"),
    ]
    with capture_logs() as logged:
        answer = house.work("completions", {"completions": sealed}).json()
    assert answer["accepted"] == []
    kinds = [row["kind"] for row in logged if row["event"] == "completion_refused"]
    assert sorted(kinds) == sorted(set(house.refused))
    assert sorted(house.refused) == [
        "malformed",
        "malformed",
        "not_of_this_attempt",
        "superseded",
        "unknown_attempt",
        "wrong_proof",
    ]
    assert {kind.replace("_", " ") for kind in house.refused} <= set(REFUSALS)
    house.work("completions", {"completions": [good]})
    assert len(house.refused) == 6
    house.lead()
    again = house.work("completions", {"completions": [good]}).json()
    assert (again["accepted"], house.refused[6:]) == ([won.dispatch.attempt], ["already_ended"])


def test_odd_outputs_stop_nothing(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    body = won.completion(house, outputs={"rows": 1, "text": "?", "big": 0, "nan": 0})
    text = body.model_dump_json()
    text = text.replace('"?"', '"a\\u0000b"').replace('"big":0', f'"big":{"9" * 40}')
    text = text.replace('"nan":0', '"nan":NaN')
    sealed = {"body": text, "mac": seal(text.encode(), won.token)}

    assert report(house, sealed).accepted == [won.dispatch.attempt]
    house.lead()

    outputs = house.shown(run)["steps"][0]["outputs"]
    assert outputs["text"] == "a\ufffdb"
    assert outputs["big"] == pytest.approx(1e40)
    assert outputs["nan"] is None
