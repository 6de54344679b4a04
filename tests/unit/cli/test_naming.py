"""`NAME` and `TEAM/NAME` mean the same to every command; ids may be short."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.cli.naming import team_and_name
from headway.errors import DefinitionError
from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply

LISTS = [
    ("runs", "runs"),
    ("events", "events"),
    ("backfill", "backfills"),
    ("notifications", "notifications"),
    ("triggers", "triggers"),
]


@pytest.mark.parametrize(
    ("text", "team", "meant"),
    [
        ("sales", None, (None, "sales")),
        ("sales", "demo", ("demo", "sales")),
        ("demo/sales", None, ("demo", "sales")),
        ("demo/sales", "demo", ("demo", "sales")),
    ],
)
def test_what_is_meant(text: str, team: str | None, meant: tuple[str | None, str]) -> None:
    assert team_and_name(text, team) == meant


@pytest.mark.parametrize("text", ["a/b/c", "/sales", "demo/", "Demo/sales"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match="names no pipeline") as refused:
        team_and_name(text)
    assert "TEAM/NAME" in str(refused.value.hint)


def test_two_teams_contradict_each_other() -> None:
    with pytest.raises(DefinitionError, match="of team demo, and --team says other"):
        team_and_name("demo/sales", "other")


@pytest.mark.parametrize(("command", "route"), LISTS)
def test_lists_take_both_forms(headway: Command, api: ApiDouble, command: str, route: str) -> None:
    api.on(f"GET /{route}", Reply({route: [], "next": None}))
    for args in (("demo/sales",), ("sales", "--team", "demo")):
        assert headway(command, "list", "--pipeline", *args).status == 0
    long, short = ({k: each.query.get(k) for k in ("pipeline", "team")} for each in api.asked)
    assert long == short == {"pipeline": "sales", "team": "demo"}


@pytest.mark.parametrize("verb", ["plan", "start"])
def test_backfills_take_both_forms(headway: Command, api: ApiDouble, verb: str) -> None:
    api.on("POST /backfills", Reply({"count": 0, "dates": 1, "only": "missing",
                                     "team": "demo", "pipeline": "sales"}))  # fmt: skip
    headway("backfill", verb, "demo/sales", "--from", "2026-02-01")
    headway("backfill", verb, "sales", "--team", "demo", "--from", "2026-02-01")
    long, short = (each.body for each in api.asked)
    assert long == short
    assert (long["pipeline"], long["team"]) == ("sales", "demo")


def test_run_takes_both_forms_and_files_all_the_same(
    headway: Command, api: ApiDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    api.on("POST /runs", Reply({"id": "r1", "pipeline": "sales", "state": "queued"}, 202))
    assert headway("run", "demo/sales").status == 0
    assert headway("run", "sales", "--team", "demo").status == 0
    assert [(each.body["team"], each.body["pipeline"]) for each in api.asked] == [
        ("demo", "sales")
    ] * 2
    Path("demo").mkdir()
    Path("demo/sales").write_text("pipeline: no definition")
    assert headway("run", "demo/sales").status == 2
    assert len(api.asked) == 2  # the file was read, and is refused before anything is sent


IDS = ["01kf0000000000000000000002", "01kf0000000000000000000001", "01ke0000000000000000000000"]


@pytest.mark.parametrize(
    ("group", "route", "verbs"),
    [
        ("events", "events", ("show", "replay")),
        ("notifications", "notifications", ("show", "retry")),
    ],
)
def test_ids_of_events_and_notifications_may_be_short(
    headway: Command, api: ApiDouble, group: str, route: str, verbs: tuple[str, str]
) -> None:
    api.on(f"GET /{route}", Reply({route: [{"id": id} for id in IDS], "next": None}))
    for id in IDS:
        api.on(f"GET /{route}/{id}", Reply({"id": id}))
        api.on(f"POST /{route}/{id}/{verbs[1]}", Reply({"id": id, "replay_of": id}, 202))
    for verb in verbs:
        assert headway(group, verb, "latest", "--json").document["id"] == IDS[0]
        assert headway(group, verb, "01ke00", "--json").document["id"] == IDS[2]
        assert headway(group, verb, IDS[1], "--json").document["id"] == IDS[1]
        unclear = headway(group, verb, "01kf00", "--json")
        assert (unclear.status, unclear.document["error"]["code"]) == (4, "ambiguous")
        nothing = headway(group, verb, "01ka00", "--json")
        assert (nothing.status, nothing.document["error"]["code"]) == (4, "not_found")


def test_a_replay_names_the_whole_id(headway: Command, api: ApiDouble) -> None:
    api.on("GET /events", Reply({"events": [{"id": IDS[0]}], "next": None}))
    api.on(f"POST /events/{IDS[0]}/replay", Reply({"id": "new", "replay_of": IDS[0]}, 202))
    assert headway("events", "replay", "latest").out.startswith(
        f"event new is a replay of {IDS[0]};"
    )
