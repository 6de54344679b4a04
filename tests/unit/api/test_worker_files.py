"""What workers send and fetch: logs and artifacts, the hostile ones too."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest

from tests.unit.api.house import House

FILE = b"some rows\n" * 1000


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
