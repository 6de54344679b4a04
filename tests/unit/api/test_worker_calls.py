"""What workers say: claims, heartbeats, completions, logs and artifacts, the hostile ones too."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from headway.protocol.messages import (
    ClaimAnswers,
    HeartbeatAnswer,
    Received,
    Registered,
    parse,
)
from headway.protocol.proof import completion_token, seal
from headway_coordinator.application.completions import REFUSALS
from tests.unit.api.house import KEY, SALES, House, Won


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


# --- completions -------------------------------------------------------------------------------


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


# --- logs --------------------------------------------------------------------------------------


def read(house: House, run: str, **params: Any) -> Any:
    return house.ask("viewer", "GET", f"/api/v1/runs/{run}/logs", params=params)


def test_a_log_is_read_from_any_byte_on(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    assert house.log(won, b"one\n").json() == {"accepted": True}
    house.log(won, b"two\n", 4)

    whole = read(house, run, step="extract")
    rest = read(house, run, step="extract", attempt=1, offset=5)

    assert (whole.content, whole.headers["x-headway-next-offset"]) == (b"one\ntwo\n", "8")
    assert (rest.content, rest.headers["x-headway-next-offset"]) == (b"wo\n", "8")
    assert whole.headers["content-type"].startswith("text/plain")
    beyond = read(house, run, step="extract", offset=8)
    assert (beyond.content, beyond.headers["x-headway-next-offset"]) == (b"", "8")


def test_chunks_that_come_twice_longer_or_out_of_order_make_one_log(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    house.log(won, b"56789", 5)
    assert read(house, run, step="extract").content == b""
    house.log(won, b"012", 0)
    house.log(won, b"XYZ", 0)
    house.log(won, b"0123456", 0)
    assert read(house, run, step="extract").content == b"0123456789"


def test_logs_of_attempts_that_are_not_the_workers_are_dropped(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    house.log(won, b"other worker", worker="w2")
    house.log(won, b"other boot", boot="b2")
    won.dispatch = won.dispatch.model_copy(update={"fence": won.dispatch.fence + 1})
    assert house.log(won, b"other fence").json() == {"accepted": True}
    assert read(house, run, step="extract").content == b""


def test_a_log_has_an_end(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    house.log(won, b"far", 100 * 1024 * 1024 + 1024)
    assert house.store.list(f"logs/{run}/{won.dispatch.attempt}") == []
    house.log(won, b"far", 100 * 1024 * 1024)
    assert len(house.store.list(f"logs/{run}/{won.dispatch.attempt}")) == 1


def test_all_logs_together_name_their_step_on_each_line(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    house.log(won, b"a\nb", 0)
    house.log(won, b"c\r50%\rd\nend", 3)
    assert read(house, run).content == (b"extract | a\nextract | bc\r50%\rd\nextract | end\n")
    assert read(house, run, offset=3).status_code == 422
    assert read(house, run, step="nowhere").status_code == 404
    assert read(house, run, step="extract", attempt=2).status_code == 404
    assert read(house, run, step="load").headers["x-headway-next-offset"] == "0"


# --- artifacts ---------------------------------------------------------------------------------

FILE = b"some rows\n" * 1000


def test_an_artifact_goes_in_and_comes_out(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    ref = house.upload(won, "out/räkor.csv", FILE).json()
    sha256 = hashlib.sha256(FILE).hexdigest()
    assert ref == {"path": "out/räkor.csv", "sha256": sha256, "size": len(FILE)}

    path = f"/worker/v1/artifacts/{won.dispatch.attempt}/{sha256}"
    back = house.ask("worker", "GET", path, headers={"X-Headway-Token": won.token})
    assert back.content == FILE

    house.work("completions", {"completions": [won.sealed(house, artifacts=[ref])]})
    house.lead()
    listed = house.ask("viewer", "GET", f"/api/v1/runs/{run}/artifacts").json()
    assert listed == {"artifacts": [{"step": "extract", **ref}]}
    params = {"path": "out/räkor.csv"}
    got = house.ask("viewer", "GET", f"/api/v1/artifacts/{run}/extract", params=params)
    assert got.content == FILE
    disposition = got.headers["content-disposition"]
    assert disposition == "attachment; filename*=UTF-8''r%C3%A4kor.csv"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]
    assert got.headers["content-type"] == "application/octet-stream"
    missing = house.ask(
        "viewer", "GET", f"/api/v1/artifacts/{run}/extract", params={"path": "../x"}
    )
    assert missing.status_code == 404


def test_a_streamed_upload_is_stored_whole(house: House) -> None:
    house.running()
    won = house.won("extract")
    big = b"0123456789abcdef" * 400_000  # more than is kept in memory
    sha256 = hashlib.sha256(big).hexdigest()
    response = house.ask(
        "worker",
        "PUT",
        f"/worker/v1/artifacts/{won.dispatch.attempt}",
        params={"path": "big", "fence": won.dispatch.fence},
        headers={"X-Headway-Sha256": sha256, "X-Headway-Token": won.token},
        content=(big[i : i + 65_536] for i in range(0, len(big), 65_536)),
    )
    assert response.json()["size"] == len(big)
    [(_, size)] = house.store.list(f"artifacts/{won.dispatch.run}")
    assert size == len(big)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"sha256": "0" * 64}, 409),
        ({"sha256": "../../etc"}, 422),
        ({"sha256": ""}, 422),
        ({"token": "0" * 64}, 403),
        ({"token": ""}, 403),
        ({"fence": 99}, 403),
        ({"fence": "x"}, 422),
        ({"team": "risk"}, 404),
    ],
)
def test_an_upload_that_is_not_right_leaves_nothing(
    house: House, changed: dict[str, Any], status: int
) -> None:
    house.running()
    won = house.won("extract")
    assert house.upload(won, "out.csv", FILE, **changed).status_code == status
    assert house.store.list(f"artifacts/{won.dispatch.run}") == []


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../x", "a//b", "a\nb", "a\\b", "."])
def test_an_artifact_path_stays_where_it_is_put(house: House, path: str) -> None:
    house.running()
    won = house.won("extract")
    assert house.upload(won, path, FILE).status_code == 422


def test_an_ended_attempt_uploads_nothing_more(house: House) -> None:
    house.running()
    won = house.finish("extract", outputs={"rows": 1})
    assert house.upload(won, "late.csv", FILE).status_code == 403


def test_artifacts_of_another_run_cannot_be_read(house: House) -> None:
    house.running()
    first = house.won("extract")
    ref = house.upload(first, "out.csv", FILE).json()
    house.running()
    second = house.won("extract")
    path = f"/worker/v1/artifacts/{second.dispatch.attempt}/{ref['sha256']}"
    response = house.ask("worker", "GET", path, headers={"X-Headway-Token": second.token})
    assert response.status_code == 404


def test_slow_uploads_do_not_stand_before_claims(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every upload thread waits for the store, and a claim is answered all the same."""
    house.running()
    won = house.won("extract")
    entered, go = threading.Semaphore(0), threading.Event()

    def slowly(*args: Any, **more: Any) -> int:
        entered.release()
        go.wait(60)
        return len(FILE)

    monkeypatch.setattr(house.store, "put", slowly)
    threads = [
        threading.Thread(target=house.upload, args=(won, "slow", FILE), daemon=True)
        for _ in range(12)
    ]
    with house.client:
        for thread in threads:
            thread.start()
        try:
            for _ in range(8):
                assert entered.acquire(timeout=60)
            assert house.claim(won.dispatch).json()["claims"][0]["won"]
        finally:
            go.set()
            for thread in threads:
                thread.join(60)


def test_the_definition_has_two_steps() -> None:
    """Many tests above believe so."""
    assert SALES.count("run:") == 2
