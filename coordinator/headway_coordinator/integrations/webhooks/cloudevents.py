"""CloudEvents 1.0 over HTTP: structured, binary and batched.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

from headway_coordinator.integrations.webhooks.proof import decoded
from headway_coordinator.integrations.webhooks.reading import MOST_EVENTS, read_json
from headway_coordinator.triggers.event import MAX_ID, MAX_TEXT, Event
from headway_coordinator.triggers.hooks import MalformedEvent

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
_PREFIX = "ce-"
_ATTRIBUTES = frozenset({"specversion", "id", "source", "type", "subject", "time"})
_OUTSIDE = frozenset({"data", "data_base64"})
_NAME = re.compile(r"[a-z0-9]{1,64}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"\s")
_JSON_TYPE = re.compile(r"[^/]+/([^+;]+\+)?json")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MODES = f"send {STRUCTURED}, {BATCHED}, or the header ce-specversion beside the data"


def parse(headers: Mapping[str, str], body: bytes) -> list[Event]:
    """Return the events of a request in any of the three modes; header names in lower case.

    Raises:
        MalformedEvent: it is in no mode, or an attribute is missing or not what it must be.
    """
    content_type = headers.get("content-type", "")
    match media_type(content_type):
        case "application/cloudevents+json":
            return [_structured(read_json(body))]
        case "application/cloudevents-batch+json":
            return _batch(read_json(body))
        case other if other.startswith("application/cloudevents"):
            raise MalformedEvent("CloudEvents in this format are not understood", _MODES)
    if "ce-specversion" not in headers:
        raise MalformedEvent("this is no CloudEvent", _MODES)
    return [_binary(headers, content_type, body)]


def is_cloudevent(headers: Mapping[str, str]) -> bool:
    """Return whether the headers say that a CloudEvent comes, in whichever mode."""
    media = media_type(headers.get("content-type", ""))
    return media.startswith("application/cloudevents") or "ce-specversion" in headers


def media_type(content_type: str) -> str:
    """Return the type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _batch(value: Any) -> list[Event]:
    if not isinstance(value, list):
        raise MalformedEvent("a batch is not a JSON list", f"send one event as {STRUCTURED}")
    if len(value) > MOST_EVENTS:
        raise MalformedEvent(f"a batch of more than {MOST_EVENTS:,} events", "send less at once")
    return [_structured(each) for each in value]


def _structured(value: Any) -> Event:
    if not isinstance(value, dict):
        raise MalformedEvent("a CloudEvent is not a JSON object", _MODES)
    # Null is how JSON writes an attribute that is not there.
    attributes = {
        name: found for name, found in value.items() if name not in _OUTSIDE and found is not None
    }
    return _event(attributes, _data_within(value))


def _data_within(value: dict[str, Any]) -> Any:
    if "data_base64" not in value:
        return value.get("data")
    coded = value["data_base64"]
    raw = decoded(coded) if isinstance(coded, str) and coded.isascii() else None
    if raw is None or value.get("data") is not None:
        hint = "give `data`, or the base64 of its bytes as `data_base64`"
        raise MalformedEvent("`data_base64` is not base64, or stands beside `data`", hint)
    content_type = value.get("datacontenttype")
    return _data(content_type if isinstance(content_type, str) else "", raw)


def _binary(headers: Mapping[str, str], content_type: str, body: bytes) -> Event:
    attributes: dict[str, Any] = {
        name.removeprefix(_PREFIX): _unescaped(name, value)
        for name, value in headers.items()
        if name.startswith(_PREFIX)
    }
    if content_type:
        attributes["datacontenttype"] = content_type
    return _event(attributes, _data(content_type, body))


def _unescaped(name: str, value: str) -> str:
    """Return a header's value as text: UTF-8 in percent-encoding."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise MalformedEvent(f"the header {name} is not UTF-8", "percent-encode it") from None


def _data(content_type: str, raw: bytes) -> Any:
    """Return data as a JSON value: JSON as it is, text as text, other bytes under `base64`."""
    if not raw:
        return None
    media = media_type(content_type)
    if not media or _JSON_TYPE.fullmatch(media):
        return read_json(raw, "the data")
    try:
        found = raw.decode() if media.startswith("text/") or media.endswith("xml") else None
    except UnicodeDecodeError:
        found = None
    if found is not None and "\0" not in found:
        return found
    return {"base64": _base64(raw)}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _event(attributes: dict[str, Any], data: Any) -> Event:
    version = attributes.get("specversion")
    if version != "1.0":
        raise MalformedEvent("specversion is not 1.0", "send CloudEvents 1.0")
    type_ = _required(attributes, "type", MAX_TEXT)
    return Event(
        id=_required(attributes, "id", MAX_ID),
        source=_reference("source", _required(attributes, "source", MAX_TEXT)),
        type=type_,
        subject=_text(attributes, "subject", MAX_TEXT),
        time=_time(_text(attributes, "time", MAX_TEXT)),
        data=data,
        name=type_,
        extensions=_extensions(attributes),
    )


def _required(attributes: Mapping[str, Any], name: str, longest: int) -> str:
    found = _text(attributes, name, longest)
    if found is None:
        raise MalformedEvent(f"the attribute {name} is missing", f"every CloudEvent has {name}")
    return found


def _text(attributes: Mapping[str, Any], name: str, longest: int) -> str | None:
    found = attributes.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not found or len(found) > longest or _CONTROL.search(found):
        hint = f"a text of 1 to {longest:,} characters, without control characters"
        raise MalformedEvent(f"the attribute {name} is not a text that can be kept", hint)
    return found


def _reference(name: str, value: str) -> str:
    if _SPACE.search(value):
        raise MalformedEvent(f"the attribute {name} is not a URI reference", "encode the spaces")
    return value


def _time(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        if _RFC3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise MalformedEvent("the attribute time is not a time", "as RFC 3339: 2026-03-01T06:00:00Z")


def _extensions(attributes: Mapping[str, Any]) -> dict[str, str | int | bool]:
    """Return the attributes beyond those of `Event`: datacontenttype, dataschema, extensions."""
    for name in ("datacontenttype", "dataschema"):
        _text(attributes, name, MAX_TEXT)
    found = {name: value for name, value in attributes.items() if name not in _ATTRIBUTES}
    for name, value in found.items():
        if not _NAME.fullmatch(name) or name in _OUTSIDE:
            hint = "lower-case letters and digits"
            raise MalformedEvent("the name of an attribute is not allowed", hint)
        if isinstance(value, str):
            if len(value) > MAX_TEXT or _CONTROL.search(value):
                hint = f"at most {MAX_TEXT:,} characters, without control characters"
                raise MalformedEvent(f"the attribute {name} cannot be kept", hint)
        elif not isinstance(value, bool | int) or not -(2**31) <= value < 2**31:
            hint = "a text, a boolean or a whole number of 32 bits"
            raise MalformedEvent(f"the attribute {name} has a type that none can have", hint)
    return found
