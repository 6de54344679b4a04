"""The values of a step's function: JSON as its annotations name it, and its result as JSON.

Loaded by `child` in the team's interpreter: standard library only, syntax of Python 3.8. What has
no annotation, or one that is not known here, stays as it came.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import Any, Dict, Union

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_UNITS = ("days", "hours", "minutes", "seconds", "milliseconds")


def typed(function: Any, given: Dict[str, Any]) -> Dict[str, Any]:
    """Return the arguments as the function's annotations want them. Raises ValueError."""
    hints = _hints(function)
    result = {}
    for name, value in given.items():
        try:
            result[name] = _typed(hints.get(name), value)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"`{name}` cannot be made of {str(value)[:100]!r}: {error}") from None
    return result


def _hints(function: Any) -> Dict[str, Any]:
    from typing import get_type_hints

    try:
        return get_type_hints(function)
    except Exception:
        return {}  # a name that only a type checker knows


def _typed(hint: Any, value: Any) -> Any:
    origin = getattr(hint, "__origin__", None)
    arguments: Any = getattr(hint, "__args__", ())
    if hint is None or value is None:
        return value
    if origin is Union or type(hint).__name__ == "UnionType":
        members = [each for each in arguments if each is not type(None)]
        return _typed(members[0], value) if len(members) == 1 else value
    if origin is list and isinstance(value, list) and len(arguments) == 1:
        return [_typed(arguments[0], item) for item in value]
    if origin is dict and isinstance(value, dict) and len(arguments) == 2:
        return {key: _typed(arguments[1], item) for key, item in value.items()}
    if isinstance(hint, type) and origin is None:
        return _of_class(hint, value)
    return value


def _of_class(hint: Any, value: Any) -> Any:
    if isinstance(value, str):
        if hint is datetime:
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        if hint is date:
            return date.fromisoformat(value)
        if hint is timedelta:
            return _duration(value)
    if issubclass(hint, Enum):
        return hint(value)
    if hasattr(hint, "model_validate"):  # a pydantic model
        return hint.model_validate(value)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _dataclass(hint, value)
    return float(value) if hint is float and type(value) is int else value


def _dataclass(hint: Any, value: Dict[str, Any]) -> Any:
    hints = _hints(hint)
    return hint(**{name: _typed(hints.get(name), item) for name, item in value.items()})


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if not match or not text:
        raise ValueError("it is no duration such as 1h30m")
    counts = zip(_UNITS, match.groups())
    return timedelta(**{unit: int(count) for unit, count in counts if count})


def plain(value: Any) -> Any:
    """Return a result as JSON: dates, durations and enums as text, models and dataclasses too.

    What is none of these stays; whether it is JSON is judged later.
    """
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration_text(value)
    return value


def _duration_text(value: timedelta) -> str:
    rest, text = value // timedelta(milliseconds=1), ""
    for unit, size in (("d", 86400000), ("h", 3600000), ("m", 60000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
