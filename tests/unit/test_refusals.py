from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from headway.protocol.messages import Dispatch, MessageError, parse
from headway.refusals import Refusal, Refusals, in_words


def test_the_first_of_a_kind_is_logged_and_all_are_counted_and_told() -> None:
    told: list[str] = []
    refusals = Refusals(told.append)
    with capture_logs() as logs:
        for _ in range(3):
            refusals.refuse(Refusal.NOT_JSON, "it is not UTF-8", "demo.default")
        refusals.refuse(Refusal.FORGED, "x" * 5000)
    assert refusals.counts() == {**dict.fromkeys(map(str, Refusal), 0), "not_json": 3, "forged": 1}
    assert told == ["not_json"] * 3 + ["forged"]
    assert [(log["kind"], len(log["reason"])) for log in logs] == [
        ("not_json", 15),
        ("forged", 300),
    ]
    assert logs[0]["queue"] == "demo.default"
    assert all(log["hint"] for log in logs)


def test_every_kind_says_what_to_do() -> None:
    refusals = Refusals()
    with capture_logs() as logs:
        for kind in Refusal:
            refusals.refuse(kind, "because")
    assert [log["kind"] for log in logs] == [str(kind) for kind in Refusal]


def test_threads_lose_no_count() -> None:
    refusals = Refusals()

    def refuse_many() -> None:
        for _ in range(500):
            refusals.refuse(Refusal.MALFORMED, "x")

    with capture_logs() as logs:
        threads = [threading.Thread(target=refuse_many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert refusals.counts()["malformed"] == 2000
    assert len(logs) == 1


def test_what_is_wrong_is_said_in_one_line() -> None:
    with pytest.raises(MessageError) as caught:
        parse(Dispatch, b'{"v": 1, "team": 5}')
    said = in_words(caught.value)
    assert said.startswith("not a Dispatch: team: Input should be a valid string; run: Field req")
    assert said.endswith("more")
    assert "\n" not in said
    assert "http" not in said
    assert in_words(MessageError("over 2 KB")) == "over 2 KB"
