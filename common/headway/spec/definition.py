"""The whole definition: text in, a spec or all of its problems out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headway.errors import Problem
from headway.plan.digest import digest_of
from headway.spec import names, values
from headway.spec.document import Mapping as MappingNode
from headway.spec.document import Node, documents
from headway.spec.expectations import Subject, read_tests
from headway.spec.graph import check_graph
from headway.spec.joining import check_joining
from headway.spec.params import Param, read_params
from headway.spec.references import check_references
from headway.spec.report import MAX_PROBLEMS, Report
from headway.spec.starting import (
    OVERLAP,
    UNSAID,
    read_concurrency,
    read_notify,
    read_visible_to,
    said,
)
from headway.spec.steps import DEFAULT_CLASS, ENV, RETRY, read_retry, read_step
from headway.spec.triggers import Owner, read_triggers
from headway.spec.values import Key


@dataclass(frozen=True, slots=True)
class Spec:
    """A valid definition; `canonical` is JSON with every default filled in, times in seconds."""

    pipeline: str
    team: str
    owner: str
    digest: str
    params: Mapping[str, Param] = field(hash=False)
    canonical: dict[str, Any] = field(hash=False, repr=False)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of one document: a spec, or the problems why not."""

    spec: Spec | None
    problems: tuple[Problem, ...]


def load(text: bytes | str, file: str) -> Loaded:
    """Return the one definition of a text. Bad input never raises: it gives problems."""
    report = Report(file)
    roots = documents(text, report)
    if len(roots) > 1:
        message = "one pipeline was expected, and here is a second"
        report.on(roots[1], "several_documents", message, "one file each")
    return _loaded(roots[0] if roots else None, report)


def load_all(text: bytes | str, file: str) -> list[Loaded]:
    """Return every definition of a text whose documents are separated by `---`."""
    report = Report(file)
    roots = documents(text, report)
    if report.problems() or not roots:
        return [_loaded(roots[0] if roots else None, report)]
    loaded: list[Loaded] = []
    for root in roots:
        loaded.append(_loaded(root, Report(file)))
        if sum(len(one.problems) for one in loaded[-MAX_PROBLEMS:]) >= MAX_PROBLEMS:
            break  # nobody reads on, and a thousand bad documents cost no more than one
    return _distinct(roots[: len(loaded)], loaded, file)


def load_node(root: Node, file: str) -> Loaded:
    """Return the definition of a tree that was not read from YAML; its nodes say their places."""
    return _loaded(root, Report(file))


def _distinct(roots: list[Node], loaded: list[Loaded], file: str) -> list[Loaded]:
    seen: set[tuple[str, str]] = set()
    result = []
    for root, one in zip(roots, loaded, strict=True):
        if one.spec is not None:
            key = (one.spec.team, one.spec.pipeline)
            if key in seen:
                report = Report(file)
                message = f"the pipeline `{key[1]}` of team `{key[0]}` is defined twice"
                report.on(root, "duplicate_pipeline", message, "keep one of them")
                one = Loaded(None, report.problems())
            seen.add(key)
        result.append(one)
    return result


def _loaded(root: Node | None, report: Report) -> Loaded:
    if root is None:
        if not report.problems():
            report.at(1, 1, "empty", "the file holds no definition", "`headway init` writes one")
        return Loaded(None, report.problems())
    read = values.record(root, report, _KEYS, what="a pipeline", later=_LATER)
    spec = _spec(root, read, report) if read and isinstance(root, MappingNode) else None
    problems = report.problems()
    return Loaded(None if problems else spec, problems)


def _spec(root: MappingNode, read: dict[str, Any], report: Report) -> Spec:
    params: dict[str, Param] = read["params"]
    defaults = {**_NO_DEFAULTS, **read["defaults"]}
    _read_starts(root, read, report)
    main, last = (_group(root, group, report, defaults) for group in ("steps", "finally"))
    check_graph(root, report)
    check_joining(root, report)
    check_references(root, [*main, *last], params, report)
    if "tests" in root.entries:
        subject = Subject.of(_by_name(root, [*main, *last]), params, _broken(root, params))
        read["tests"] = read_tests(root.entries["tests"][1], subject, report)
    head = {key: value for key, value in read.items() if key not in ("defaults", *_GROUPS)}
    canonical = {
        **said(head, UNSAID),
        "params": {name: param.as_dict() for name, param in params.items()},
        "steps": main,
        "finally": last,
    }
    digest = "" if report.problems() else digest_of(canonical)
    return Spec(read["pipeline"], read["team"], read["owner"], digest, params, canonical)


def _read_starts(root: MappingNode, read: dict[str, Any], report: Report) -> None:
    """Triggers and concurrency name params, so they are read when those are known."""
    if "triggers" in root.entries:
        owner = Owner(str(read["pipeline"]), read["params"], _broken(root, read["params"]))
        read["triggers"] = read_triggers(root.entries["triggers"][1], owner, report)
    if "concurrency" in root.entries:
        node = root.entries["concurrency"][1]
        read["concurrency"] = read_concurrency(node, read["params"], report)


def _broken(root: MappingNode, params: dict[str, Param]) -> frozenset[str]:
    """Return the params that are declared and could not be read."""
    declared = root.entries.get("params", (None, None))[1]
    given = declared.entries.keys() if isinstance(declared, MappingNode) else set()
    return frozenset(given - params.keys())


def _by_name(root: MappingNode, steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the steps by name; `{}` stands for one that could not be read."""
    found: dict[str, dict[str, Any]] = {}
    for group in _GROUPS:
        node = root.entries.get(group, (None, None))[1]
        found |= {name: {} for name in (node.entries if isinstance(node, MappingNode) else ())}
    return found | {step["name"]: step for step in steps if step.get("kind")}


def _group(
    root: MappingNode, group: str, report: Report, defaults: dict[str, Any]
) -> list[dict[str, Any]]:
    entry = root.entries.get(group)
    if entry is None:
        return []
    node = entry[1]
    steps = []
    for name, (key, value) in (values.mapping(node, report, group) or {}).items():
        names.identifier("step")(key, report)
        steps.append(read_step(name, value, report, defaults))
    if group == "steps" and isinstance(node, MappingNode) and not node.entries:
        message = "a pipeline needs at least one step"
        report.on(node, "bad_value", message, "such as {hello: {run: echo hello}}")
    return steps


def _version(node: Node, report: Report) -> int | None:
    value = values.anything(node, report)
    if value != 1 or isinstance(value, bool):
        message = f"this version reads `headway: 1`, not {values.kind_of(node)}"
        report.on(node, "bad_version", message, "write headway: 1")
    return 1


def _code(node: Node, report: Report) -> dict[str, Any]:
    return values.record(
        node, report, {"path": Key(values.text("path"), required=True)}, what="code"
    )


def _defaults(node: Node, report: Report) -> dict[str, Any]:
    read = values.record(node, report, _DEFAULTS, what="defaults")
    return {key: value for key, value in read.items() if value is not None}


_NO_DEFAULTS: dict[str, Any] = {
    "class": DEFAULT_CLASS,
    "timeout": None,
    "queue_timeout": None,
    "retry": RETRY,
    "env": {},
    "interpreter": None,
}


def _default_retry(node: Node, report: Report) -> dict[str, Any]:
    return {**RETRY, **read_retry(node, report)}


_GROUPS = ("steps", "finally")
_DEFAULTS: dict[str, Key] = {
    "class": Key(values.name("class", names.RESOURCE_CLASS)),
    "timeout": Key(values.seconds("timeout")),
    "queue_timeout": Key(values.seconds("queue_timeout")),
    "retry": Key(_default_retry),
    "env": Key(ENV),
    "interpreter": Key(values.text("interpreter")),
}
# Keys of the design that later versions add.
_LATER = frozenset(["slo", "data"])
_KEYS: dict[str, Key] = {
    "headway": Key(_version, required=True),
    "pipeline": Key(values.name("pipeline", names.PIPELINE), required=True),
    "team": Key(names.team, required=True),
    "owner": Key(values.text("owner"), required=True),
    "runbook": Key(values.text("runbook")),
    "description": Key(values.text("description", empty=True)),
    "labels": Key(values.mapping_of("labels", values.environment("a label")), default=dict),
    "code": Key(_code),
    "params": Key(read_params, default=dict),
    "triggers": Key(values.anything, default=list),
    "overlap": Key(values.choice("overlap", OVERLAP), default=lambda: "allow"),
    "concurrency": Key(values.anything),
    "priority": Key(values.integer("priority", -1000, 1000), default=lambda: 0),
    "timeout": Key(values.seconds("timeout")),
    "notify": Key(read_notify, default=list),
    "visible_to": Key(read_visible_to, default=list),
    "defaults": Key(_defaults, default=dict),
    "steps": Key(values.anything, required=True),
    "finally": Key(values.anything),
    "tests": Key(values.anything, default=list),
}
