"""Values are put where the work says, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from headway.protocol.messages import ClaimAnswer, MessageError, Work, parse
from headway_worker.secrets import MissingSecretError, filled

VALUES = {"a": "v/1 &", "b": "v2"}


def work(body: dict[str, Any], *uses: tuple[str, list[str | int], int]) -> Work:
    secrets = [{"name": name, "at": at, "start": start} for name, at, start in uses]
    return Work.model_validate(
        {
            "run": "r",
            "pipeline": "p",
            "team": "t",
            "step": "s",
            "no": 1,
            "kind": "run",
            "digest": "d",
            "body": body,
            "secrets": secrets,
        }
    )


def test_references_become_values_at_their_places_alone() -> None:
    body = {
        "env": {"A": "secret://a", "EVIL": "secret://b"},
        "with": {"l": [{"k": "x secret://b-secret://a"}]},
    }
    given = work(
        body,
        ("a", ["with", "l", 0, "k"], 13),
        ("a", ["env", "A"], 0),
        ("b-", ["with", "l", 0, "k"], 2),
    )
    made = filled(given, {**VALUES, "b-": "v3"})
    assert made.body["env"] == {"A": "v/1 &", "EVIL": "secret://b"}
    assert made.body["with"] == {"l": [{"k": "x v3v/1 &"}]}
    assert given.body["env"]["A"] == "secret://a"


def test_an_address_is_encoded_unless_it_is_the_whole_secret() -> None:
    part = work({"http": {"url": "https://h/?k=secret://a"}}, ("a", ["http", "url"], 13))
    assert filled(part, VALUES).body["http"]["url"] == "https://h/?k=v%2F1%20%26"
    whole = work({"http": {"url": "secret://a"}}, ("a", ["http", "url"], 0))
    assert filled(whole, VALUES).body["http"]["url"] == "v/1 &"
    header = work({"http": {"headers": {"X": "secret://a"}}}, ("a", ["http", "headers", "X"], 0))
    assert filled(header, VALUES).body["http"]["headers"] == {"X": "v/1 &"}


@pytest.mark.parametrize(
    "use",
    [
        ("c", ["env", "C"], 0),
        ("a", ["env", "A"], 1),
        ("a", ["env", "Z"], 0),
        ("a", ["env", 0], 0),
        ("a", ["env", "A", "deep"], 0),
        ("a", ["with", "n"], 0),
    ],
)
def test_what_does_not_fit_is_refused_without_a_value(use: Any) -> None:
    body = {"env": {"A": "secret://a", "C": "secret://c"}, "with": {"n": 1}}
    with pytest.raises(MissingSecretError) as raised:
        filled(work(body, use), VALUES)
    assert "v/1" not in str(raised.value)


def test_an_odd_answer_is_told_without_its_values() -> None:
    answer = '{"attempt": "a", "fence": 1, "won": true, "secrets": {"a": 17}, "odd": "hunter2"}'
    with pytest.raises(MessageError) as raised:
        parse(ClaimAnswer, answer)
    assert "17" not in str(raised.value)
    assert "hunter2" not in str(raised.value)
    good = ClaimAnswer(attempt="a", fence=1, won=True, secrets={"a": "hunter2"})
    assert "hunter2" not in repr(good)
