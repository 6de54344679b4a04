"""The types that checks know, and what functions and methods return.

Types are the declared ones (`string`, `int`, `float`, `bool`, `date`, `datetime`, `duration`,
`list`, `object`), `timespan` for CEL's own durations, `null`, `bytes`, and `any` for what nobody
declared; `any` fits everything.
"""

from __future__ import annotations

FUNCTIONS = {
    "has": "bool",
    "size": "int",
    "string": "string",
    "int": "int",
    "uint": "any",
    "double": "float",
    "timestamp": "datetime",
    "duration": "timespan",
    "type": "string",
    "dyn": "any",
    "bytes": "bytes",
}
METHODS = {
    **dict.fromkeys(("startsWith", "endsWith", "contains", "matches"), "bool"),
    "size": "int",
    **dict.fromkeys(
        (
            "getFullYear",
            "getMonth",
            "getDate",
            "getDayOfMonth",
            "getDayOfWeek",
            "getDayOfYear",
            "getHours",
            "getMinutes",
            "getSeconds",
            "getMilliseconds",
        ),
        "int",
    ),
}
MACRO_TYPES = dict.fromkeys(("exists", "all", "exists_one"), "bool") | dict.fromkeys(
    ("map", "filter"), "list"
)
_FAMILY = {"date": "string", "duration": "string", "int": "number", "float": "number"}
_WORDS = {"datetime": "a timestamp", "timespan": "a duration", "any": "anything", "null": "null"}


def family(kind: str) -> str:
    """Return the types that compare with each other under one name."""
    return _FAMILY.get(kind, kind)


def shown(kind: str) -> str:
    """Return a type in words, with its article."""
    if kind in _WORDS:
        return _WORDS[kind]
    article = "an" if kind[0] in "aeiou" else "a"
    return f"{article} {kind}"
