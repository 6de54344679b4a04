"""What starts a run besides a schedule: webhooks, events, assets, other pipelines."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from headway.spec import names, secrets, values
from headway.spec.assets import uri, uris
from headway.spec.document import Mapping, Node, Scalar, Sequence
from headway.spec.report import Report
from headway.spec.schedules import read_schedule
from headway.spec.values import Key, Reader

SOURCES = (
    *("github", "gitlab", "jenkins", "alertmanager", "docker-registry", "s3", "cdevents"),
    *("standard-webhooks", "generic"),
)
ENDS = ("succeeded", "failed", "cancelled", "timed_out")
_FOREIGN = re.compile(f"{names.PIPELINE.pattern}/{names.PIPELINE.pattern}")
_EVENT_NAME = re.compile(r"[^\s*]{1,200}")
_SECRET_HINT = "such as secret: secret://github-hook; `headway secret set` keeps its value"


def _kind(main: str, keys: dict[str, Key]) -> Callable[[str], Reader]:
    """Return a maker of readers of a kind; what is no mapping is most likely meant as `main`."""

    def named(kind: str) -> Reader:
        def read(node: Node, report: Report) -> dict[str, Any]:
            if isinstance(node, Scalar) and node.text.strip():
                hint = f'write {kind}: {{{main}: "{values.shown(node.text)}"}}'
                values.wrong_type(node, report, f"{kind} must be a mapping", hint)
                return {}
            return values.record(node, report, keys, what=kind)

        return read

    return named


def _one_or_more(what: str, read_item: Reader, order: Collection[str] = ()) -> Reader:
    """Return a reader of one value or a list of them, each once; `order` is theirs if given."""

    def read(node: Node, report: Report) -> list[str] | None:
        items = node.items if isinstance(node, Sequence) else (node,)
        if not items:
            report.on(node, "bad_value", f"{what} is empty", "name one, or leave the key out")
        found = [value for item in items if (value := read_item(item, report)) is not None]
        return sorted(set(found), key=list(order).index) if order else list(dict.fromkeys(found))

    return read


def _event_name(node: Node, report: Report) -> str | None:
    value: str | None = values.text("event")(node, report)
    if value is not None and "${{" not in value and not _EVENT_NAME.fullmatch(value):
        message = f"`{values.shown(value)}` is no name of an event"
        report.on(node, "bad_value", message, "such as push, or pull_request.opened; no `*`")
    return value


def _secret(node: Node, report: Report) -> str | None:
    value: str | None = values.text("secret")(node, report)
    if value is None or "${{" in value:
        return value
    name = value.removeprefix(secrets.PREFIX)
    if name == value or not secrets.NAME.fullmatch(name):
        message = "the secret of a webhook is a reference, and nothing else"
        report.on(node, "bad_secret", message, _SECRET_HINT)
    return value


def _secrets(node: Node, report: Report) -> list[str] | None:
    found: list[str] | None = _one_or_more("secret", _secret)(node, report)
    if found is not None and len(found) > 2:
        message = f"a webhook has one secret, or two while one is exchanged, not {len(found)}"
        report.on(node, "bad_value", message, "keep the new one and the old one")
    return found


def _pattern(what: str) -> Reader:
    def read(node: Node, report: Report) -> str | None:
        value: str | None = values.text(what)(node, report)
        if value is not None and "*" in value[:-1]:
            message = f"`*` stands for the rest of {what}, so it comes last"
            report.on(node, "bad_value", message, f"such as {value[: value.index('*') + 1]}")
        return value

    return read


def _asset(node: Node, report: Report) -> dict[str, Any]:
    read: dict[str, Any] = _kind("uri", _ASSET)("asset")(node, report)
    if not read or not isinstance(node, Mapping):
        return {}
    given = [key for key in _ASSET if key in node.entries]
    if len(given) != 1:
        hint = "such as {uri: 's3://raw/sales'}, or {all: [s3://a, s3://b]}"
        report.on(node, "conflict", "asset needs one of `uri`, `any` and `all`", hint)
        return {}
    found = read[given[0]]
    if found == []:
        empty = node.entries[given[0]][1]
        report.on(empty, "bad_value", f"{given[0]} is empty", "name an asset")
    return {"any": [found]} if given[0] == "uri" else {given[0]: found}


def _upstream(node: Node, report: Report) -> str | None:
    """Return the name of a pipeline, or `team/pipeline`."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and "/" in node.value:
        if not _FOREIGN.fullmatch(node.value):
            message = f"`{values.shown(node.value)}` is no pipeline of another team"
            report.on(node, "bad_name", message, "write TEAM/PIPELINE, such as sales/daily-load")
        return node.value
    found: str | None = values.name("pipeline", names.PIPELINE)(node, report)
    return found


_ASSET: dict[str, Key] = {"uri": Key(uri), "any": Key(uris("any")), "all": Key(uris("all"))}
_WEBHOOK: dict[str, Key] = {
    "source": Key(values.choice("source", SOURCES), required=True),
    "name": Key(values.name("a webhook's name", names.PIPELINE)),
    "event": Key(_one_or_more("event", _event_name), default=list),
    "secret": Key(_secrets, required=True),
}
_EVENT: dict[str, Key] = {
    "type": Key(_pattern("type"), required=True),
    "source": Key(values.text("source")),
    "subject": Key(_pattern("subject")),
}
_PIPELINE: dict[str, Key] = {
    "name": Key(_upstream, required=True),
    "on": Key(_one_or_more("on", values.choice("on", ENDS), ENDS), default=lambda: ["succeeded"]),
}


def _webhook(node: Node, report: Report) -> dict[str, Any]:
    read: dict[str, Any] = _kind("source", _WEBHOOK)("webhook")(node, report)
    if "event" in read:
        read["events"] = read.pop("event")
        read["secret"] = read.pop("secret")
    return read


def _schedule(node: Node, report: Report) -> dict[str, Any]:
    if isinstance(node, Scalar):
        read: dict[str, Any] = _kind("cron", {})("schedule")(node, report)
        return read
    return read_schedule(node, report)


KINDS: dict[str, Key] = {
    "schedule": Key(_schedule),
    "webhook": Key(_webhook),
    "event": Key(_kind("type", _EVENT)("event")),
    "asset": Key(_asset),
    "pipeline": Key(_kind("name", _PIPELINE)("pipeline")),
}
