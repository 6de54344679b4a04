"""Hostile input at every text entry of the API: never a 5xx, and what was stored comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest

from headway.portable import unportable
from headway.protocol.proof import seal
from tests.hostile.inputs import DOCUMENTS, STRINGS, Document, share
from tests.unit.api.house import SALES, House, Won

pytestmark = pytest.mark.slow
JSON = {"Content-Type": "application/json"}
STEERING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
PIPELINE = """\
headway: 1
pipeline: p-{kind}
team: analytics
owner: o
params: {{value: {{type: {kind}}}}}
steps:
  a: {{python: "m:f", with: {{value: "${{{{ params.value }}}}"}}, outputs: {{value: {kind}}}}}
"""
ONE_STEP = (
    '{"headway":1,"pipeline":"%s","team":"analytics","owner":"o",'
    '"steps":{"a":{"python":"m:f","with":{"value":%s}}}}'
)


def asked(house: House, path: str, body: bytes, method: str = "POST") -> Any:
    """Send the body as an administrator, or as a worker where that is who calls."""
    worker = path.startswith("/worker/")
    role, team = ("worker", "analytics") if worker else ("admin", None)
    answer = house.ask(role, method, path, team=team, headers=JSON, content=body)  # type: ignore[arg-type]
    assert answer.status_code < 500, (path, body[:100], answer.text[:300])
    return answer


def read(document: Document) -> Any:
    """Return what strict JSON it is; None if it is none."""
    try:
        value = json.loads(document.body)
    except (ValueError, RecursionError):
        return None
    return value if unportable(value) is None else None


# --- definitions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_a_document_as_a_definition_is_refused_with_its_place(
    house: House, document: Document
) -> None:
    text = document.body.decode("utf-8", "replace")
    answer = house.apply(text)
    assert answer.status_code == 422
    assert answer.json()["problems"]


def _definition(house: House, value: str) -> Any:
    """Return the value as the stored definition has it; None if it was refused."""
    answer = house.apply(ONE_STEP % ("hostile", value))
    assert answer.status_code in (200, 422), answer.text[:300]
    if answer.status_code == 422:
        assert answer.json()["problems"][0]["message"]
        return None
    shown = house.ask("viewer", "GET", "/api/v1/pipelines/analytics/hostile").json()
    return shown["definition"]["steps"][0]["with"]["value"]


def test_a_document_in_a_definition_comes_back_the_same(house: House) -> None:
    taken = 0
    for document in DOCUMENTS:
        stored = _definition(house, document.body.decode("utf-8", "replace"))
        if stored is not None and document.expect == "accept":
            assert stored == read(document), document.name
            taken += 1
    assert taken > 80


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_text_in_a_definition_comes_back_the_same(house: House, ascii_only: bool) -> None:
    taken = 0
    for text in STRINGS:
        stored = _definition(house, json.dumps(text, ensure_ascii=ascii_only))
        taken += stored is not None
        assert stored in (None, text), ascii(text)
    assert taken > len(STRINGS) * 0.9


# --- params and outputs --------------------------------------------------------------------------


def _params(house: House, kind: str, values: Iterable[bytes]) -> list[Any]:
    """Return each value as its run shows it once the leader has it; None where it was refused."""
    runs: list[str | None] = []
    for value in values:
        body = b'{"pipeline":"p-%s","params":{"value":%s}}' % (kind.encode(), value)
        answer = asked(house, "/api/v1/runs", body)
        assert answer.status_code in (202, 413, 422), answer.text[:300]
        runs.append(answer.json()["id"] if answer.status_code == 202 else None)
    house.lead()
    return [run and house.shown(run)["params"]["value"] for run in runs]


@pytest.mark.parametrize("kind", ["list", "object"])
def test_a_document_as_a_param_comes_back_the_same(house: House, kind: str) -> None:
    """As JSON, and as the text that a command line sends."""
    house.apply(PIPELINE.format(kind=kind))
    as_text = [json.dumps(d.body.decode("utf-8", "replace")).encode() for d in DOCUMENTS]
    for sent in ([d.body for d in DOCUMENTS], as_text):
        shown = _params(house, kind, sent)
        for document, value in zip(DOCUMENTS, shown, strict=True):
            assert value is None or value == read(document), document.name
        assert 20 < shown.count(None) < len(shown) - 20


@pytest.mark.parametrize(
    "text",
    [
        "[123456789012345678901234567890]",
        "[1e999]",
        '["\\u0000"]',
        '["\\ud800"]',
        "[" * 150 + "]" * 150,
    ],
)
def test_a_param_that_no_reader_could_hold_is_refused(house: House, text: str) -> None:
    """Each of these was taken, and the run could not be shown again."""
    house.apply(PIPELINE.format(kind="list"))
    answer = house.start("p-list", params={"value": text})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_params")


def test_a_text_as_a_param_comes_back_the_same(house: House) -> None:
    house.apply(PIPELINE.format(kind="string"))
    shown = _params(house, "string", [json.dumps(text).encode() for text in STRINGS])
    assert shown == [None if "\0" in text else text for text in STRINGS]
    for text in STRINGS:
        said = {"pipeline": "p-string", "params": {text: 1}}
        assert asked(house, "/api/v1/runs", json.dumps(said).encode()).status_code == 422


_PARTS = 4  # so that each is well within a test's time on a busy machine


def _finished(house: House, kind: str, value: bytes) -> tuple[bool, Any]:
    """Return whether a step's report with this output was taken, and what the run shows of it."""
    given = {"list": [], "object": {}, "string": "x"}[kind]
    run = house.start(f"p-{kind}", params={"value": given}).json()["id"]
    house.lead()
    won = house.won("a")
    text = won.sealed(house, outputs={"value": "@@"})["body"].replace('"@@"', value.decode())
    sealed = {"body": text, "mac": seal(text.encode(), won.token)}
    answer = asked(house, "/worker/v1/completions", json.dumps({"completions": [sealed]}).encode())
    taken = answer.status_code == 200 and bool(answer.json()["accepted"])
    if not taken:
        house.work("completions", {"completions": [won.sealed(house, outputs={"value": given})]})
    house.lead()
    [step] = house.shown(run)["steps"]
    return taken, step["outputs"]["value"]


@pytest.mark.parametrize("part", range(_PARTS))
def test_outputs_come_back_the_same_or_harmless(alone: House, part: int) -> None:
    house = alone
    for kind in ("list", "string"):
        house.apply(PIPELINE.format(kind=kind))
    house.register()
    for text in STRINGS[part::_PARTS]:
        taken, shown = _finished(house, "string", json.dumps(text).encode())
        assert (taken, shown) == (True, text.replace("\0", "\ufffd")), ascii(text)
    for document in DOCUMENTS[part::_PARTS]:
        taken, shown = _finished(house, "list", document.body.decode("utf-8", "replace").encode())
        if taken and document.expect == "accept" and read(document) is not None:
            assert shown == read(document), document.name


# --- names, paths, headers, bodies ---------------------------------------------------------------

BODIES = [
    *("/worker/v1/register", "/worker/v1/claims", "/worker/v1/heartbeat"),
    *("/worker/v1/completions", "/worker/v1/logs", "/api/v1/runs", "/api/v1/pipelines"),
    *("/api/v1/runs/r1/cancel", "/api/v1/runs/r1/retry", "/api/v1/teams", "/api/v1/tokens"),
    *("/api/v1/tickets", "/api/v1/secrets/rekey", "/api/v1/pipelines/analytics/sales/rollback"),
    "/sign-in",
]


@pytest.mark.parametrize("path", BODIES)
def test_any_document_as_a_body_is_answered(house: House, path: str) -> None:
    for document in share(DOCUMENTS, path):
        asked(house, path, document.body)
    for text in share(STRINGS, path):
        asked(house, path, text.encode())


PATHS = [
    *("/api/v1/pipelines/{}/{}", "/api/v1/runs/{}", "/api/v1/runs/RUN/logs?step={}"),
    *("/api/v1/artifacts/RUN/{}?path={}", "/api/v1/runs?pipeline={}", "/api/v1/runs?state={}"),
    *("/api/v1/runs?cursor={}", "/api/v1/pipelines?cursor={}", "/api/v1/audit?cursor={}&run={}"),
    *("/api/v1/secrets?cursor={}", "/api/v1/queues?cursor={}", "/api/v1/workers?limit={}", "/{}"),
    *("/api/v1/tokens?cursor={}", "/api/v1/teams?cursor={}", "/r/{}", "/?cursor={}&pipeline={}"),
    *("/api/v1/runs/RUN/logs?step=extract&offset={}&attempt={}", "/sign-in?ticket={}&next={}"),
    *("/api/v1/pipelines/analytics/sales/versions/{}", "/api/v1/runs/{}/events"),
]


@pytest.mark.parametrize("path", PATHS)
def test_any_text_in_an_address_is_answered(house: House, path: str) -> None:
    house.apply()
    run = house.start().json()["id"]
    for text in share(STRINGS, path):
        address = path.replace("RUN", run).replace("{}", quote(text[:2000], safe=""))
        answer = asked(house, address, b"", "GET")
        if "html" in answer.headers.get("content-type", ""):
            assert not STEERING.search(answer.text), ascii(text)


ENTRIES: dict[str, tuple[str, str, Any]] = {
    "the pipeline of a run": ("POST", "runs", {"pipeline": "@"}),
    "the team of a run": ("POST", "runs", {"pipeline": "sales", "team": "@"}),
    "the date of a run": ("POST", "runs", {"pipeline": "sales", "logical_date": "@"}),
    "a team": ("POST", "teams", {"name": "@"}),
    "the subject of a token": ("POST", "tokens", {"subject": "@", "role": "viewer"}),
    "the role of a token": ("POST", "tokens", {"subject": "x", "role": "@"}),
    "the life of a token": (
        "POST",
        "tokens",
        {"subject": "x", "role": "viewer", "expires_in": "@"},
    ),
    "the reason of a cancel": ("POST", "runs/RUN/cancel", {"reason": "@"}),
    "the name of a file": ("POST", "pipelines", {"files": [{"name": "@", "text": "a: b"}]}),
    "a secret": ("PUT", "secrets/x", {"team": "analytics", "value": "@"}),
    "a worker": ("POST", "worker", {"worker": "@"}),
    "the boot of a worker": ("POST", "worker", {"boot": "@"}),
    "the host of a worker": ("POST", "worker", {"hostname": "@", "version": "@"}),
    "a class of a worker": ("POST", "worker", {"classes": ["@"]}),
}
WORKER = {
    "worker": "w1",
    "boot": "b1",
    "classes": ["small"],
    "slots": 4,
    "hostname": "host",
    "machine_boot": "m1",
    "version": "0.1.0",
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_any_text_in_a_field_is_answered(house: House, entry: str) -> None:
    method, path, template = ENTRIES[entry]
    house.apply()
    run = house.start().json()["id"]
    path = "/worker/v1/register" if path == "worker" else f"/api/v1/{path.replace('RUN', run)}"
    said = {**WORKER, **template} if path.startswith("/worker") else template
    for text in share(STRINGS, entry):
        asked(house, path, json.dumps(said).replace('"@"', json.dumps(text)).encode(), method)
    for listed in ("teams", "tokens", "secrets", "workers", "audit"):
        asked(house, f"/api/v1/{listed}", b"", "GET")


@pytest.mark.parametrize(
    "name",
    ["Idempotency-Key", "Authorization", "Cookie", "Content-Type", "X-Headway-Token", "Range"],
)
def test_any_text_in_a_header_is_answered(house: House, name: str) -> None:
    house.apply()
    bearer = [(b"authorization", f"Bearer {house.token('admin', None)}".encode())]
    for text in share(STRINGS, name):
        if re.search("[\r\n\0]", text):
            continue  # no server hands these on
        headers = [*([] if name == "Authorization" else bearer), (name.encode(), text.encode())]
        answer = house.client.request(
            "POST", "/api/v1/runs", headers=headers, content=b'{"pipeline":"sales"}'
        )
        assert answer.status_code < 500, ascii(text)


# --- logs, files, pages --------------------------------------------------------------------------


def test_logs_and_files_come_back_the_same_and_pages_show_no_control_character(
    alone: House,
) -> None:
    house = alone
    house.register()
    run = house.running(SALES.replace("pipeline: sales", "pipeline: files"))
    won = house.won("extract")
    log = _logged(house, won)
    stored = {text: house.upload(won, text, text.encode()) for text in STRINGS}
    assert {answer.status_code for answer in stored.values()} == {200, 422}
    taken = {text: answer.json() for text, answer in stored.items() if answer.status_code == 200}
    assert len(taken) > 200
    said = {"artifacts": list(taken.values()), "outputs": {"rows": 1}}
    house.work("completions", {"completions": [won.sealed(house, **said)]})
    house.lead()
    for text in taken:
        path = f"/api/v1/artifacts/{run}/extract"
        answer = house.ask("viewer", "GET", path, params={"path": text})
        assert answer.content == text.encode(), ascii(text)
    assert house.ask("viewer", "GET", f"/api/v1/runs/{run}/logs?step=extract").content == log
    failing = house.won("load")
    _logged(house, failing)
    error = {"code": "x", "message": "".join(STRINGS)[:8000], "detail": "".join(STRINGS)[-9000:]}
    house.work(
        "completions", {"completions": [failing.sealed(house, outcome="failed", error=error)]}
    )
    house.lead()
    page = house.ask("viewer", "GET", f"/r/{run}")
    assert page.status_code == 200
    assert not STEERING.search(page.text)
    assert "<script>alert" not in page.text


def _logged(house: House, won: Won) -> bytes:
    lines = [*(text.encode() + b"\n" for text in STRINGS), bytes(range(256)), b"\x80\n\xc3("]
    at = 0
    for line in lines:
        assert house.log(won, line, at).status_code == 200
        at += len(line)
    return b"".join(lines)


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/passwd", "a//b", "a\\..\\b", ".", "", "a\0b", "a/./b", "x" * 1025],
)
def test_a_file_s_path_leads_nowhere_else(alone: House, path: str) -> None:
    house = alone
    house.register()
    house.running(SALES.replace("pipeline: sales", "pipeline: paths"))
    answer = house.upload(house.won("extract"), path, b"content")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_path")
    assert "artifact '" in answer.json()["detail"]
