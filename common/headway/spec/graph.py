"""The edges between steps: every need is known, and nothing waits for itself."""

from __future__ import annotations

from functools import partial

from headway.spec.document import Mapping, Scalar, Sequence
from headway.spec.report import Report, did_you_mean

Needs = dict[str, dict[str, Scalar]]


def check_graph(root: Mapping, report: Report) -> None:
    """Note unknown, doubled and circular needs, and names that both groups use."""
    groups = {group: _needs(root, group) for group in ("steps", "finally")}
    for name in groups["finally"].keys() & groups["steps"].keys():
        finally_ = root.entries["finally"][1]
        assert isinstance(finally_, Mapping)
        message = f"`{name}` is already the name of a step"
        report.on(finally_.entries[name][0], "duplicate_step", message, "give it another name")
    for group, needs in groups.items():
        others = set(groups["finally" if group == "steps" else "steps"])
        _check_known(needs, group, others, report)
        _check_cycles(needs, report)
        _check_doubled(root, group, report)


def needs_of(node: Mapping) -> list[Scalar]:
    """Return the scalars of a step's `needs`, in order; wrong shapes are left out."""
    entry = node.entries.get("needs")
    if entry is None or not isinstance(entry[1], Sequence):
        return []
    return [n for n in entry[1].items if isinstance(n, Scalar) and isinstance(n.value, str)]


def _needs(root: Mapping, group: str) -> Needs:
    entry = root.entries.get(group)
    if entry is None or not isinstance(entry[1], Mapping):
        return {}
    found: Needs = {}
    for name, (_, step) in entry[1].entries.items():
        scalars = needs_of(step) if isinstance(step, Mapping) else []
        found[name] = {scalar.text: scalar for scalar in reversed(scalars)}
    return found


def _check_known(needs: Needs, group: str, others: set[str], report: Report) -> None:
    for name, wanted in needs.items():
        for need, place in wanted.items():
            if need == name:
                report.on(place, "self_need", f"step `{name}` needs itself", "drop the need")
            elif need in needs:
                continue
            elif need in others:
                message = f"a step of `{group}` can only need steps of `{group}`"
                hint = "drop the need, or move the step"
                if group == "finally":
                    hint = "`finally` steps start when all others have ended; drop the need"
                report.on(place, "bad_need", f"{message}, and `{need}` is not one", hint)
            else:
                meant = partial(_meant, need, needs, name)
                report.on(place, "unknown_need", f"there is no step `{need}`", meant)


def _meant(need: str, needs: Needs, name: str) -> str:
    others = [step for step in needs if step != name]
    known = ", ".join(others[:10]) + (", …" if len(others) > 10 else "")
    return did_you_mean(need, others) or (f"the steps are: {known}" if known else "drop the need")


def _check_doubled(root: Mapping, group: str, report: Report) -> None:
    entry = root.entries.get(group)
    if entry is None or not isinstance(entry[1], Mapping):
        return
    for _, step in entry[1].entries.values():
        seen: set[str] = set()
        for scalar in needs_of(step) if isinstance(step, Mapping) else []:
            if scalar.text in seen:
                report.on(
                    scalar, "duplicate_need", f"`{scalar.text}` is needed twice", "name it once"
                )
            seen.add(scalar.text)


def _check_cycles(needs: Needs, report: Report) -> None:
    """Depth-first without recursion; each circle is noted once, at the need that closes it."""
    done: set[str] = set()
    for start in needs:
        path: dict[str, None] = {}
        stack = [] if start in done else [(start, iter(needs[start]))]
        if stack:
            path[start] = None
        while stack:
            name, rest = stack[-1]
            need = next(rest, None)
            if need is None:
                stack.pop()
                del path[name]
                done.add(name)
            elif need in path and need != name:
                circle = [*list(path)[list(path).index(need) :], need]
                message = "the steps need each other in a circle: " + _path(circle)
                report.on(needs[name][need], "cycle", message, "drop one of these needs")
            elif need in needs and need not in done and need not in path:
                path[need] = None
                stack.append((need, iter(needs[need])))


def _path(circle: list[str]) -> str:
    """Return the steps of a circle; of a long one, where it begins and where it closes."""
    if len(circle) > 12:
        circle = [*circle[:6], f"{len(circle) - 10} more", *circle[-4:]]
    return " -> ".join(circle)
