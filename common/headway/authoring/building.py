"""The pipeline that is being built: its steps in the order in which they are made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

from headway.authoring.mistakes import AuthoringError
from headway.authoring.sites import Given, Site, caller, given
from headway.authoring.values import Expression

_REFERENCE = re.compile(r"(?<![\w.\"'])steps\s*\.\s*([a-z_][a-z0-9_]*)")
_TEMPLATE = re.compile(r"\$\{\{((?:(?!\$\{\{).)*)\}\}", re.S)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
# What is read of a definition at most, 100,000 values, has room for no more.
MOST_STEPS = 25_000


@dataclass(slots=True, eq=False)
class Node:
    """One step: its keys as in YAML, each with its place."""

    name: str
    site: Site
    keys: dict[str, Any]
    outputs: frozenset[str] | None = None  # None: declared nowhere, the reader judges
    needs: list[Any] = field(default_factory=list)
    order: int = 0


@dataclass(slots=True, eq=False)
class Build:
    """What the calls inside one pipeline function have made."""

    steps: dict[str, Node] = field(default_factory=dict)
    last: dict[str, Node] = field(default_factory=dict)
    in_finally: bool = False
    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, node: Node, *, named: bool) -> Handle:
        """Take a step in. A name that the author chose must be free, another gets a number."""
        if len(self.steps) + len(self.last) >= MOST_STEPS:
            message = f"a pipeline of more than {MOST_STEPS:,} steps"
            raise AuthoringError("too_large", message, "split it, or loop inside a step")
        if (first := self._taken(node.name)) is not None:
            if named:
                message = f"there is a step `{node.name}` already, made in line {first.site.line}"
                raise AuthoringError("duplicate_step", message, "give it another name=")
            node.name = self._numbered(node.name)
        group = self.last if self.in_finally else self.steps
        node.order = len(group)
        group[node.name] = node
        return Handle(self, node)

    def _taken(self, name: str) -> Node | None:
        return self.steps.get(name) or self.last.get(name)

    def _numbered(self, name: str) -> str:
        number = self.numbers.get(name, 2)
        while self._taken(f"{name}_{number}") is not None:
            number += 1
        self.numbers[name] = number + 1
        return f"{name}_{number}"

    def needs_of(self, node: Node) -> list[Any]:
        """Return the needs that were given, then the steps whose values the step uses.

        A `finally` step starts when all others have ended: its needs are `finally` steps alone.
        """
        group = self.last if node.name in self.last else self.steps
        named = {_plain(each) for each in node.needs}
        condition = _plain(node.keys.get("if"))
        used = set(references(node.keys))
        used |= set(_named(condition)) if isinstance(condition, str) else set()
        used -= named | {node.name}
        return [*node.needs, *sorted(used & group.keys(), key=lambda name: group[name].order)]


_current: ContextVar[Build | None] = ContextVar("headway_build", default=None)


def current() -> Build | None:
    """Return the build under way; None outside every pipeline function."""
    return _current.get()


def demand(what: str) -> Build:
    """Return the build under way. Raises AuthoringError outside a pipeline function."""
    build = current()
    if build is None:
        message = f"`{what}` makes a step, and no pipeline is being built here"
        raise AuthoringError("no_pipeline", message, "call it inside a function under @pipeline")
    return build


@contextmanager
def building() -> Iterator[Build]:
    """Let the calls inside make steps of a new build."""
    build = Build()
    token = _current.set(build)
    try:
        yield build
    finally:
        _current.reset(token)


@contextmanager
def finally_() -> Iterator[None]:
    """Let the steps made inside run when all others have ended, however they ended.

    with finally_():
        cleanup()
    """
    build = demand("finally_()")
    before, build.in_finally = build.in_finally, True
    try:
        yield
    finally:
        build.in_finally = before


class Handle:
    """A step of the pipeline that is being built; what it will give can be named at once.

    As an argument it stands for the mapping of all its outputs, in `inputs` for its artifacts.
    """

    __slots__ = ("_build", "_node")

    def __init__(self, build: Build, node: Node) -> None:
        self._build = build
        self._node = node

    @property
    def name(self) -> str:
        """The step's name."""
        return self._node.name

    @property
    def state(self) -> Expression:
        """How it ended, such as "succeeded": for conditions of steps after it."""
        return Expression(f"steps.{self.name}.state", is_atom=True)

    @property
    def artifacts(self) -> Expression:
        """The files that it keeps: for `inputs` of steps after it."""
        return Expression(f"steps.{self.name}.artifacts", is_atom=True)

    @property
    def outputs(self) -> Expression:
        """All of its outputs, as an object; of a step that runs for each item, a list of them."""
        return Expression(f"steps.{self.name}.outputs", is_atom=True)

    def __getitem__(self, output: Any) -> Expression:
        """Return one output, which makes the step that uses it wait for this one.

        Of a step that runs for each item: a list, with the output of each.
        """
        if not isinstance(output, str):
            message = f"an output of `{self.name}` is named by text, not {output!r}"
            raise AuthoringError("wrong_type", message, 'such as step["rows"]')
        known = self._node.outputs
        if known is not None and output not in known:
            raise AuthoringError("unknown_name", *self._undeclared(output, known))
        if {"foreach", "matrix"} & self._node.keys.keys():
            source = f"steps.{self.name}.outputs.map(o, o.{output})"
            return Expression(source, is_atom=True)
        return self.outputs[output]

    def after(self, *steps: Any) -> Handle:
        """Let the step start after others (handles or names) whose values it does not use."""
        site = caller()
        for position, each in enumerate(steps):
            if not isinstance(each, Handle | str):
                message = f"`.after()` takes steps, not {type(each).__name__}"
                where = Given(each, site, position)
                raise AuthoringError("wrong_type", message, "such as .after(extract)", where=where)
            self._node.needs.append(Given(self._own(each, site, position), site, position))
        return self

    def when(self, rule: str | Expression) -> Handle:
        """Say when it runs: by the ends of its needs ("all_done"), or by a condition on values.

        `.when(rows["count"] > 0)` is the key `if`; false skips the step. Returns itself.
        """
        key = "if" if isinstance(rule, Expression) else "when"
        self._node.keys[key] = Given(rule, caller(), 0)
        return self

    def if_(self, condition: str | Expression) -> Handle:
        """Say by an expression, as text or as a value, whether it runs. Returns itself."""
        self._node.keys["if"] = Given(condition, caller(), 0)
        return self

    def map(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: it is the step's function that is mapped over a list."""
        message = f"`{self.name}` is a step already"
        raise AuthoringError("bad_arguments", message, "map the function: load.map(items)")

    def __bool__(self) -> NoReturn:
        message = f"the step `{self.name}` has not run while the pipeline is built"
        hint = 'give a condition to `.when(…)`, such as step["rows"] > 0'
        raise AuthoringError("not_known_yet", message, hint)

    def __iter__(self) -> NoReturn:
        message = f"the step `{self.name}` has not run while the pipeline is built"
        raise AuthoringError("not_known_yet", message, 'name one output: step["rows"]')

    def __repr__(self) -> str:
        return f"Handle({self.name!r})"

    def __str__(self) -> str:
        return str(self.outputs)

    def _own(self, each: Handle | str, site: Site, position: int) -> str:
        if isinstance(each, Handle) and each._build is not self._build:
            message = f"the step `{each.name}` belongs to another pipeline"
            where = Given(each, site, position)
            raise AuthoringError("unknown_need", message, "make it in this one", where=where)
        return each if isinstance(each, str) else each.name

    def _undeclared(self, output: str, known: frozenset[str]) -> tuple[str, str]:
        from headway.spelling import did_you_mean

        message = f"step `{self.name}` declares no output `{output}`"
        hint = f'declare it: outputs={{"{output}": str}}, or a TypedDict as the result\'s type'
        return message, did_you_mean(output, sorted(known)) or hint


def references(value: Any) -> Iterator[str]:
    """Yield each step that the expressions of a value name, from anywhere inside it."""
    match value:
        case Given():
            yield from references(value.value)
        case Expression():
            yield from _named(value.source)
        case Handle():
            yield value.name
        case str():
            for found in _TEMPLATE.finditer(value):
                yield from _named(found.group(1))
        case dict():
            for item in value.values():
                yield from references(item)
        case list() | tuple():
            for item in value:
                yield from references(item)


def _named(source: str) -> Iterator[str]:
    for found in _REFERENCE.finditer(_QUOTED.sub('""', source)):
        yield found.group(1)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Given) else value


def keys_of(arguments: dict[str, Any], site: Site) -> dict[str, Any]:
    """Return keyword arguments as the keys of a definition: `resource_class` is `class`."""
    return {RENAMED.get(name, name): value for name, value in given(arguments, site).items()}


RENAMED = {"resource_class": "class", "if_": "if", "with_": "with"}
