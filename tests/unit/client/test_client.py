"""The client: fail-over, what is sent twice and what never, and what refusals become."""

from __future__ import annotations

import pytest

from headway.client import Client
from headway.errors import (
    ConflictError,
    DefinitionError,
    ForbiddenError,
    HeadwayError,
    UnavailableError,
)
from tests.unit.client.api_double import ApiDouble, Reply, api_double, dead_address, problem


def client(*urls: str, token: str | None = "hw_secret") -> Client:
    return Client(urls, token, pause=lambda seconds: None, new_key=lambda: "key-1")


def test_a_call_carries_token_and_query(api: ApiDouble) -> None:
    api.on("GET /runs", Reply({"runs": [], "next": None}))
    with client(api.url) as c:
        assert c.runs(state="failed", limit=5) == {"runs": [], "next": None}
    (asked,) = api.asked
    assert asked.headers["authorization"] == "Bearer hw_secret"
    assert asked.query == {"state": "failed", "limit": "5"}


def test_without_a_token_none_is_sent(api: ApiDouble) -> None:
    api.on("GET /queues", Reply({"queues": []}))
    with client(api.url, token=None) as c:
        c.queues()
    assert "authorization" not in api.asked[0].headers


def test_the_next_address_is_asked_when_one_is_dead_and_then_first(api: ApiDouble) -> None:
    api.on("GET /leader", Reply({"holder": "c1"}))
    with dead_address() as dead, client(dead, api.url) as c:
        assert c.leader() == {"holder": "c1"}
        assert c.address == api.url


def test_a_coordinator_that_is_unwell_sends_us_to_the_next() -> None:
    with api_double() as unwell, api_double() as well:
        unwell.on("GET /queues", problem(503, "database_unavailable", "no database"))
        well.on("GET /queues", Reply({"queues": []}))
        with client(unwell.url, well.url) as c:
            assert c.queues() == {"queues": []}


def test_none_answers() -> None:
    with dead_address() as dead, client(dead) as c, pytest.raises(UnavailableError) as caught:
        c.queues()
    assert caught.value.code == "unreachable"
    assert caught.value.exit_status == 3
    assert dead in caught.value.message


def test_an_address_that_is_none_is_unreachable_and_no_defect() -> None:
    with client("http://[broken") as c, pytest.raises(UnavailableError):
        c.queues()


def test_a_get_is_sent_again_when_the_answer_was_lost(api: ApiDouble) -> None:
    api.on("GET /queues", [Reply(hang_up=True), Reply({"queues": []})])
    with client(api.url) as c:
        assert c.queues() == {"queues": []}
    assert len(api.asked) == 2


def test_a_post_is_sent_again_with_the_same_key(api: ApiDouble) -> None:
    api.on("POST /runs", [Reply(hang_up=True), Reply({"id": "r1"}, 202)])
    with client(api.url) as c:
        assert c.start_run("weather", params={"unit": "celsius"}) == {"id": "r1"}
    assert [each.headers["idempotency-key"] for each in api.asked] == ["key-1", "key-1"]
    assert api.asked[1].body == {"pipeline": "weather", "params": {"unit": "celsius"}}


def test_a_token_is_never_asked_for_twice(api: ApiDouble) -> None:
    api.on("POST /tokens", [Reply(hang_up=True), Reply({"token": "hw_x"})])
    with client(api.url) as c, pytest.raises(UnavailableError):
        c.create_token(subject="me", role="viewer", team=None)
    assert len(api.asked) == 1


def test_a_token_may_still_be_asked_of_the_next_address_when_the_first_is_dead(
    api: ApiDouble,
) -> None:
    api.on("POST /tokens", Reply({"token": "hw_x"}, 201))
    with dead_address() as dead, client(dead, api.url) as c:
        answer = c.create_token(subject="me", role="viewer", team="demo", expires_in=60)
    assert answer == {"token": "hw_x"}
    assert api.asked[0].body == {
        "subject": "me",
        "role": "viewer",
        "team": "demo",
        "expires_in": 60,
    }


@pytest.mark.parametrize(
    ("status", "family", "exit_status"),
    [
        (401, ForbiddenError, 4),
        (403, ForbiddenError, 4),
        (404, ForbiddenError, 4),
        (409, ConflictError, 4),
        (413, ForbiddenError, 4),
        (422, DefinitionError, 2),
        (429, ForbiddenError, 4),
        (500, UnavailableError, 3),
        (503, UnavailableError, 3),
    ],
)
def test_families(
    api: ApiDouble, status: int, family: type[HeadwayError], exit_status: int
) -> None:
    api.on("POST /teams", problem(status, "some_code", "a sentence"))
    with client(api.url) as c, pytest.raises(family) as caught:
        c.add_team("demo")
    assert (caught.value.code, caught.value.message) == ("some_code", "a sentence")
    assert caught.value.exit_status == exit_status


def test_problems_keep_their_places(api: ApiDouble) -> None:
    place = {"file": "a.yaml", "line": 3, "column": 7, "code": "unknown_key", "message": "no"}
    api.on("POST /pipelines", problem(422, "invalid_definition", "wrong", problems=[place]))
    with client(api.url) as c, pytest.raises(DefinitionError) as caught:
        c.apply([("a.yaml", "text")])
    assert str(caught.value.problems[0]) == "a.yaml:3:7: no"


def test_a_list_comes_with_all_its_pages(api: ApiDouble) -> None:
    first, last = {"queues": [{"queue": "a"}], "next": "a"}, {"queues": [{"queue": "b"}]}
    api.on("GET /queues", [Reply(first), Reply(last)])
    with client(api.url) as c:
        assert c.queues() == {"queues": [{"queue": "a"}, {"queue": "b"}]}
    assert [each.query.get("cursor") for each in api.asked] == [None, "a"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=b"<html>hello</html>"),
        Reply(raw=b"<html>no</html>", status=404),
        Reply(["no object"]),
        Reply(raw=b"[" * 100_000),
    ],
    ids=["page", "not found", "list", "deep"],
)
def test_a_server_that_is_not_headway(api: ApiDouble, reply: Reply) -> None:
    api.on("GET /queues", reply)
    with client(api.url) as c, pytest.raises(UnavailableError) as caught:
        c.queues()
    assert caught.value.code == "not_headway"


def test_a_redirect_is_not_followed(api: ApiDouble) -> None:
    api.on("GET /queues", Reply(status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"}))
    with client(api.url) as c, pytest.raises(UnavailableError) as caught:
        c.queues()
    assert caught.value.code == "not_headway"


def test_logs_say_where_to_go_on(api: ApiDouble) -> None:
    api.on("GET /runs/r1/logs", Reply(raw=b"hi\n", headers={"X-Headway-Next-Offset": "13"}))
    with client(api.url) as c:
        assert c.logs("r1", step="a", attempt=2, offset=10) == (b"hi\n", 13)
    assert api.asked[0].query == {"step": "a", "attempt": "2", "offset": "10"}


def test_an_id_cannot_leave_its_place_in_the_path(api: ApiDouble) -> None:
    with client(api.url) as c, pytest.raises(ForbiddenError):
        c.run("../tokens?x=1")
    assert api.asked[0].path == "/runs/..%2Ftokens%3Fx%3D1"


def test_a_download_comes_in_pieces_and_its_refusal_is_an_error(api: ApiDouble) -> None:
    api.on("GET /artifacts/r1/report", Reply(raw=b"x" * 100_000))
    api.on("GET /artifacts/r1/gone", problem(404, "not_found", "no such artifact"))
    with client(api.url) as c:
        assert b"".join(c.artifact("r1", "report", "report.html")) == b"x" * 100_000
        with pytest.raises(ForbiddenError):
            list(c.artifact("r1", "gone", "report.html"))
    assert api.asked[0].query == {"path": "report.html"}
