"""`@pipeline`: a function whose calls are the steps, and whose parameters are the params."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypedDict, Unpack, get_type_hints

from headway.authoring.annotations import Declared, Unmappable, declared, type_of_value
from headway.authoring.building import Build, Node, building, current, keys_of
from headway.authoring.mistakes import AuthoringError
from headway.authoring.sites import Given, Site, caller, of_function
from headway.authoring.steps import Duration, Values
from headway.authoring.values import Expression

_LOGICAL_DATE = re.compile(r"\$\{\{\s*run\.logical_date\s*\}\}")

# Every pipeline in the order in which the decorators ran: whoever loads a file finds its own here.
made: list[Pipeline] = []


class PipelineKeys(TypedDict, total=False):
    """The keys of a pipeline; docs/definitions.md says what each means."""

    team: str
    owner: str
    name: str
    runbook: str
    description: str
    labels: Values
    code: str | Values
    triggers: Sequence[Values]
    overlap: str
    concurrency: Values
    priority: int
    timeout: Duration
    notify: Sequence[Values]
    visible_to: Sequence[str]
    defaults: Values
    tests: Sequence[Values]


@dataclass(frozen=True, slots=True)
class Built:
    """A definition with the place of each part; the mistakes that did not stop the building."""

    document: Given
    mistakes: tuple[AuthoringError, ...]


class Pipeline:
    """A pipeline in Python: `build()` gives its definition, nothing else runs it here."""

    def __init__(self, function: Callable[..., Any], keys: dict[str, Any], site: Site) -> None:
        self.function = function
        self.site = site
        self._keys = keys
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        if current() is not None:
            message = (
                f"a pipeline inside a pipeline is not available in this version: `{self.__name__}`"
            )
            raise AuthoringError("not_supported", message, "trigger it on its own")
        message = f"the pipeline `{self.__name__}` does not run by being called"
        hint = "use `headway run FILE.py`, or .build() for its definition"
        raise AuthoringError("usage", message, hint)

    def __repr__(self) -> str:
        return f"Pipeline({self.__name__!r})"

    def build(self) -> Any:
        """Return the definition as an object (`headway.authoring.definition.Definition`).

        Raises DefinitionError with every problem.
        """
        from headway.authoring.definition import of_pipeline

        return of_pipeline(self)

    def assemble(self) -> Built:
        """Return the definition's parts, unchecked. Raises AuthoringError, and what the author's
        own code raises.
        """
        mistakes: list[AuthoringError] = []
        params = self._params(mistakes)
        with building() as build:
            self.function(
                **{name: _param(name) for name in inspect.signature(self.function).parameters}
            )
        head = self._head()
        tests = {"tests": head.pop("tests")} if "tests" in head else {}
        groups = {"params": params, **_groups(build, self.site), **tests}
        document = {"headway": 1, **head, **groups}
        if not params:
            del document["params"]
        return Built(Given(document, self.site), tuple(mistakes))

    def _head(self) -> dict[str, Any]:
        keys = dict(self._keys)
        name = keys.pop("name", None) or Given(
            self.function.__name__.replace("_", "-"), of_function(self.function)
        )
        if "description" not in keys and (said := _first_paragraph(self.function)):
            keys["description"] = Given(said, of_function(self.function))
        if "code" in keys and isinstance(keys["code"].value, str):
            code = keys["code"]
            keys["code"] = {"path": code}
        if "defaults" in keys and isinstance(keys["defaults"].value, Mapping):
            keys["defaults"] = _renamed(keys["defaults"])
        return {"pipeline": name, **keys}

    def _params(self, mistakes: list[AuthoringError]) -> dict[str, Any]:
        site = of_function(self.function)
        try:
            hints = get_type_hints(self.function, include_extras=True)
        except Exception as error:
            message = f"the types of the params cannot be read: {type(error).__name__}: {error}"
            raise AuthoringError(
                "unmappable_type", message, "import them at the top", where=site
            ) from None
        params = {}
        for each in inspect.signature(self.function).parameters.values():
            try:
                params[each.name] = _declaration(each, hints.get(each.name))
            except Unmappable as error:
                where = Given(None, site, each.name)
                message = f"param `{each.name}`: {error.message}"
                mistakes.append(AuthoringError("unmappable_type", message, error.hint, where=where))
        return {name: Given(param, site, name) for name, param in params.items()}


def pipeline(**keys: Unpack[PipelineKeys]) -> Callable[[Callable[..., Any]], Pipeline]:
    """Make a function a pipeline: `team` and `owner` are needed, the name is the function's.

    @pipeline(team="analytics", owner="sales-oncall@example.com")
    def daily_sales(day: date = "${{ run.logical_date }}"): ...
    """
    site = caller()
    given = keys_of({**keys}, site)

    def decorate(function: Callable[..., Any]) -> Pipeline:
        made.append(Pipeline(function, given, site))
        return made[-1]

    return decorate


def _param(name: str) -> Expression:
    return Expression(f"params.{name}", is_atom=True)


def _declaration(parameter: inspect.Parameter, annotation: Any) -> dict[str, Any]:
    if parameter.kind in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
        parameter.POSITIONAL_ONLY,
    ):
        raise Unmappable("a param has a name and a type", "write each out, without * and /")
    has_default = parameter.default is not parameter.empty
    default = parameter.default if has_default else None
    found = _declared(annotation, default)
    param: dict[str, Any] = {"type": found.type}
    if default is not None:
        param["default"] = default
    elif has_default:
        param["required"] = False
    if found.enum is not None:
        param["enum"] = list(found.enum)
    if found.description is not None:
        param["description"] = found.description
    return param


def _declared(annotation: Any, default: Any) -> Declared:
    if annotation is not None:
        found = declared(annotation)
        if found.type == "string" and _is_logical_date(default):
            return replace(found, type="date")  # a date is text, for the function too
        return found
    if default is None:
        raise Unmappable("it has no type", "write one, such as `day: date`")
    return type_of_value(default)


def _is_logical_date(default: Any) -> bool:
    return isinstance(default, str) and _LOGICAL_DATE.fullmatch(default.strip()) is not None


def _first_paragraph(function: Callable[..., Any]) -> str | None:
    said = inspect.getdoc(function)
    return " ".join(said.split("\n\n")[0].split()) if said else None


def _renamed(defaults: Given) -> Given:
    values = dict(defaults.value)
    if "resource_class" in values:
        values["class"] = values.pop("resource_class")
    return Given(values, defaults.site, defaults.at)


def _groups(build: Build, site: Site) -> dict[str, Any]:
    groups: dict[str, Any] = {"steps": _steps(build, build.steps, site)}
    if build.last:
        groups["finally"] = _steps(build, build.last, site)
    return groups


def _steps(build: Build, nodes: dict[str, Node], site: Site) -> Given:
    return Given({name: _step(build, node) for name, node in nodes.items()}, site)


def _step(build: Build, node: Node) -> Given:
    keys = dict(node.keys)
    if "needs" not in keys and (needs := build.needs_of(node)):
        keys["needs"] = needs
    return Given(keys, node.site)
