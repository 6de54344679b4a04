"""What differs between two canonical specs, key by key. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_GROUPS = ("triggers", "steps", "finally", "tests")


@dataclass(frozen=True, slots=True)
class Change:
    """One key that is new, gone or different; `path` is dotted, as in `steps.load.retry.max`."""

    change: Literal["added", "removed", "changed"]
    path: str
    old: Any = None
    new: Any = None

    def as_dict(self) -> dict[str, Any]:
        return {"change": self.change, "path": self.path, "old": self.old, "new": self.new}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return every difference, in the order of the new spec; what is gone comes where it stood.

    A trigger, step or test that is new or gone is one change. None when the two have one digest.
    """
    found = list(_mappings((), _without_groups(old), _without_groups(new)))
    for group in _GROUPS:
        found += _named(group, old.get(group) or [], new.get(group) or [])
    return found


def _without_groups(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in _GROUPS}


def _named(
    group: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> Iterator[Change]:
    before, after = ({str(part["name"]): part for part in parts} for parts in (old, new))
    yield from _mappings((group,), before, after)
    kept_before = [name for name in before if name in after]
    kept_after = [name for name in after if name in before]
    if kept_before != kept_after:
        yield Change("changed", f"{group} (order)", kept_before, kept_after)


def _mappings(
    path: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Change]:
    for key in _in_order(old, new):
        where = (*path, key)
        if key not in old:
            if new[key] is not None:
                yield Change("added", ".".join(where), None, new[key])
        elif key not in new:
            if old[key] is not None:
                yield Change("removed", ".".join(where), old[key], None)
        else:
            yield from _values(where, old[key], new[key])


def _values(path: tuple[str, ...], old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _mappings(path, old, new)
    elif type(old) is not type(new) or old != new:  # 1, 1.0 and true are different to a step
        yield Change("changed", ".".join(path), old, new)


def _in_order(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the keys of both: the new one's order, a removed key behind the one it followed."""
    order = list(new)
    place = -1
    for key in old:
        if key in new:
            place = order.index(key)
        else:
            place += 1
            order.insert(place, key)
    return order
