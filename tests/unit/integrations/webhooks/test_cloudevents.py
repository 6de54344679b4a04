"""CloudEvents in the three modes, by the project's own scenarios and beyond them; CDEvents."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from headway.clock import rfc3339
from headway_coordinator.integrations.webhooks import SOURCES, HookRequest, MalformedEvent
from headway_coordinator.integrations.webhooks.cloudevents import BATCHED, STRUCTURED, parse
from headway_coordinator.triggers.event import Event
from tests.unit.integrations.webhooks.requests import (
    FOLDER,
    as_bytes,
    assert_well_formed,
    cdevents,
)

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/tests",
    "type": "com.example.landed",
}
HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "t"}


@dataclass(frozen=True)
class Scenario:
    """One row of a scenario outline: a request, the attributes and the data that it must give."""

    title: str
    request: str
    attributes: Mapping[str, str]
    data: str


def scenarios() -> Iterator[Scenario]:
    text = (FOLDER / "http-protocol-binding.feature").read_text("utf-8")
    for outline in text.split("Scenario Outline:")[1:]:
        request, data = re.findall(r'"""\n(.*?)"""', outline, re.DOTALL)
        table, examples = outline.split("Examples:")
        cells = re.findall(r"^\s*\|(.*?)\|(.*?)\|\s*$", table, re.MULTILINE)
        [parameter, *values] = re.findall(r"\|\s*(.*?)\s*\|", examples)
        for value in values:
            rows = [(key.strip(), cell.strip()) for key, cell in cells]
            filled = {key: cell.replace(f"<{parameter}>", value) for key, cell in rows[1:]}
            yield Scenario(
                outline.splitlines()[0].replace(f"<{parameter}>", value),
                request.replace(f"<{parameter}>", value),
                filled,
                data,
            )


def read_request(text: str) -> HookRequest:
    lines = [line.strip() for line in text.splitlines()]
    gap = lines.index("")
    pairs = [line.split(": ", 1) for line in lines[1:gap]]
    headers = {name.lower(): value for name, value in pairs}
    return HookRequest(headers=headers, body="\n".join(lines[gap:]).encode())


SCENARIOS = list(scenarios())


def test_all_scenarios_were_read() -> None:
    assert len(SCENARIOS) == 4


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.title)
def test_the_scenarios_of_the_binding(scenario: Scenario) -> None:
    request = read_request(scenario.request)
    [event] = parse(request.headers, request.body)
    assert event.time is not None
    found = {**event.extensions, "specversion": "1.0", "time": rfc3339(event.time)}
    found |= {name: getattr(event, name) for name in ("id", "type", "source")}
    assert found == {**scenario.attributes, "time": found["time"]}
    assert event.time == datetime.fromisoformat(scenario.attributes["time"])
    assert event.data == json.loads(scenario.data)


def structured(content_type: str = STRUCTURED, **changed: Any) -> Event:
    [event] = parse({"content-type": content_type}, as_bytes({**EVENT, **changed}))
    assert_well_formed(event)
    return event


def binary(body: bytes, content_type: str | None = None, **headers: str) -> Event:
    named = {f"ce-{name}": value for name, value in headers.items()}
    typed = {"content-type": content_type} if content_type is not None else {}
    [event] = parse({**HEADERS, **typed, **named}, body)
    assert_well_formed(event)
    return event


def test_a_batch_gives_its_events_in_order() -> None:
    body = [{**EVENT, "id": str(n), "data": n} for n in range(3)]
    found = parse({"content-type": f"{BATCHED}; charset=utf-8"}, as_bytes(body))
    assert [(event.id, event.data) for event in found] == [("0", 0), ("1", 1), ("2", 2)]
    assert parse({"content-type": BATCHED}, b"[]") == []


def test_a_batch_with_one_malformed_event_gives_none() -> None:
    with pytest.raises(MalformedEvent):
        parse({"content-type": BATCHED}, as_bytes([EVENT, {}]))


def test_attributes_beyond_the_events_own_are_extensions() -> None:
    event = structured(
        subject="a.csv", partitionkey="eu", count=3, urgent=True, dataschema="/s", absent=None
    )
    assert event.subject == "a.csv"
    assert event.extensions == {
        "partitionkey": "eu",
        "count": 3,
        "urgent": True,
        "dataschema": "/s",
    }
    assert event.name == event.type


@pytest.mark.parametrize(
    ("content_type", "raw", "data"),
    [
        (None, b'{"a":1}', {"a": 1}),
        ("application/json", b"[1]", [1]),
        ("text/json", b"[1]", [1]),
        ("application/vnd.x+json; v=2", b"[1]", [1]),
        ("application/json", b"", None),
        ("text/plain", "h\u00e9".encode(), "h\u00e9"),
        ("application/xml", b"<a/>", "<a/>"),
        ("text/plain", b"\xff", {"base64": "/w=="}),
        ("text/plain", b"a\0", {"base64": "YQA="}),
        ("application/octet-stream", b"\0\1", {"base64": "AAE="}),
        ("image/png", b"[1]", {"base64": "WzFd"}),
    ],
)
def test_data_is_read_by_its_type(content_type: str | None, raw: bytes, data: Any) -> None:
    assert binary(raw, content_type).data == data
    coded = {"data_base64": base64.b64encode(raw).decode()}
    typed = {"datacontenttype": content_type} if content_type else {}
    assert structured(**typed, **coded).data == data


def test_headers_are_percent_encoded() -> None:
    event = binary(b"1", subject="caf%C3%A9%20%25", city="a%22b")
    assert event.subject == "caf\u00e9 %"
    assert event.extensions["city"] == 'a"b'


def test_times_are_in_utc() -> None:
    event = structured(time="2026-11-23t09:00:00.123456789+01:00")
    assert event.time == datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in EVENT),
        *({name: ""} for name in EVENT),
        *({name: 1} for name in EVENT),
        *({name: "a\nb"} for name in EVENT),
        *({"specversion": "0.3"}, {"specversion": "1.1"}),
        *({"id": "x" * 513}, {"source": "x" * 2049}, {"source": "a b"}),
        *({"subject": ""}, {"subject": []}),
        *({"time": "2026-11-23"}, {"time": "2026-11-23T09:00:00"}, {"time": "yesterday"}),
        *({"time": "0001-01-01T00:00:00+23:59"}, {"time": "2026-13-01T00:00:00Z"}, {"time": 1}),
        *({"Upper": "a"}, {"with-dash": "a"}, {"": "a"}, {"x" * 65: "a"}, {"ext": "a\x00b"}),
        *({"ext": 1.5}, {"ext": 2**31}, {"ext": {}}, {"ext": []}, {"ext": "x" * 2049}),
        *({"data_base64": "?"}, {"data_base64": 1}, {"data_base64": "\u2603"}),
        *({"data": 1, "data_base64": "MQ=="}, {"data_base64": "eyI="}),
        *({"data": 2**64}, {"data": "a\x00"}, {"datacontenttype": 1, "data_base64": "MQ=="}),
    ],
    ids=repr,
)
def test_an_event_that_breaks_the_rules_is_malformed(changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedEvent) as caught:
        structured(**changed)
    assert caught.value.hint


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": "application/cloudevents+avro"},
        {"content-type": "application/cloudevents"},
        {**HEADERS, "ce-specversion": "2.0"},
        {**HEADERS, "ce-id": ""},
        {**HEADERS, "ce-subject": "%ff"},
        {**HEADERS, "ce-data": "1"},
        {name: value for name, value in HEADERS.items() if name != "ce-source"},
        {"content-type": BATCHED},
    ],
)
def test_a_request_in_no_mode_is_malformed(headers: dict[str, str]) -> None:
    with pytest.raises(MalformedEvent):
        parse(headers, as_bytes(EVENT))


CDEVENTS = {sent.title: sent.body for sent in cdevents()}


def cdevent(name: str) -> Event:
    [event] = SOURCES["cdevents"].events(HookRequest(headers={}, body=as_bytes(CDEVENTS[name])))
    return event


def test_a_published_artifact_of_cdevents() -> None:
    event = cdevent("artifact_published.json")
    assert event.name == "artifact.published"
    assert event.type == "dev.cdevents.artifact.published.0.3.0"
    assert event.source == "/event/source/123"
    assert event.time == datetime(2023, 3, 20, 14, 27, 5, 315384, tzinfo=UTC)
    assert event.data["artifact"]["name"] == "mygit.com/myorg/myapp"
    assert event.data["artifact"]["version"] == "234fd47e07d1004f0aed9c"
    assert event.data["actor"] == "mybot-myapp"


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("branch_created.json", "ref", "refs/heads/mySubject123"),
        ("branch_created.json", "repository", "TestRepo/TestOrg"),
        ("repository_created.json", "repository", "TestOrg/TestRepo"),
        ("pipelinerun_finished.json", "status", "failure"),
        ("approval_closed.json", "actor", "urn:user:bob"),
        ("taskrun_started.json", "url", "https://www.example.com/mySubject123"),
    ],
)
def test_other_cdevents_where_they_say_it(name: str, key: str, value: str) -> None:
    assert cdevent(name).data[key] == value


def test_a_service_of_cdevents_names_its_image() -> None:
    made = cdevent("service_deployed.json").data["artifact"]
    assert made["name"] == "myapp"
    assert made["digest"].startswith("sha256:0b31b1c0")


def test_a_merged_change_of_cdevents() -> None:
    assert cdevent("change_merged.json").data["pull_request"]["merged"] is True
    assert cdevent("change_created.json").data["pull_request"]["merged"] is False


@pytest.mark.parametrize("mode", ["binary", "structured", "batched"])
def test_a_cdevent_in_a_cloudevent_is_the_same_event(mode: str) -> None:
    document = CDEVENTS["artifact_published.json"]
    wrapped = {**EVENT, "data": document}
    headers, body = {
        "binary": ({**HEADERS, "content-type": "application/json"}, document),
        "structured": ({"content-type": STRUCTURED}, wrapped),
        "batched": ({"content-type": BATCHED}, [wrapped]),
    }[mode]
    request = HookRequest(headers=headers, body=as_bytes(body))
    [event] = SOURCES["cdevents"].events(request)
    bare = cdevent("artifact_published.json")
    # Headers are not signed: what identifies an event is taken from the document.
    assert (event.id, event.source, event.type) == (bare.id, bare.source, bare.type)
    assert event.data == bare.data


def test_a_cdevent_of_a_tools_own_kind_is_an_event() -> None:
    document = json.loads(json.dumps(CDEVENTS["build_queued.json"]))
    document["context"]["type"] = "dev.cdeventsx.mytool-resource.created.0.1.0-draft"
    [event] = SOURCES["cdevents"].events(HookRequest(headers={}, body=as_bytes(document)))
    assert event.name == "mytool-resource.created"


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        *(("context", key, None) for key in ("id", "source", "type", "timestamp")),
        ("context", "type", "com.example.other"),
        ("context", "type", "dev.cdevents.artifact.published"),
        ("context", "timestamp", "yesterday"),
        ("context", "id", 1),
        ("subject", "id", None),
    ],
)
def test_a_document_without_its_context_is_malformed(part: str, key: str, value: Any) -> None:
    document = json.loads(json.dumps(CDEVENTS["build_queued.json"]))
    document[part][key] = value
    with pytest.raises(MalformedEvent):
        SOURCES["cdevents"].events(HookRequest(headers={}, body=as_bytes(document)))
