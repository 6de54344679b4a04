"""`@step` on a function of the team's code, and builders for the steps that have no function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack, get_type_hints, overload

from headway.authoring.annotations import Unmappable, declared, outputs_of
from headway.authoring.building import Handle, Node, current, demand, keys_of
from headway.authoring.mistakes import AuthoringError
from headway.authoring.sites import Given, Site, caller, of_function
from headway.authoring.values import Expression, item

Duration = str | timedelta
Values = Mapping[str, Any]


class StepKeys(TypedDict, total=False):
    """The keys that any step may have; docs/definitions.md says what each means."""

    name: str
    needs: Sequence[Handle | str]
    when: str | Values
    cancels: Sequence[Handle | str] | str
    if_: str | Expression
    resource_class: str
    retry: int | Values
    timeout: Duration
    queue_timeout: Duration
    allow_failure: bool
    foreach: Sequence[Any] | Expression
    matrix: Mapping[str, Sequence[Any] | Expression]
    max_parallel: int
    allow_failures: int | str
    enough: int | str
    outputs: Mapping[str, Any]
    env: Values
    inputs: Values
    artifacts: Sequence[str]
    produces: Sequence[str]
    workdir: str
    interpreter: str


class StepFunction:
    """A function that is a step: called in a pipeline it makes one, elsewhere it just runs."""

    __name__: str  # the function's

    def __init__(self, function: Callable[..., Any], keys: dict[str, Any], site: Site) -> None:
        functools.update_wrapper(self, function)
        # The worker calls what stands here, whatever a decorator put in its place.
        self.__headway_function__ = function
        self._keys = keys
        self._site = site

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return self.__headway_function__(*args, **kwargs)
        return self._made(args, kwargs, caller())

    def with_options(self, **keys: Unpack[StepKeys]) -> StepFunction:
        """Return the same step with other keys: `load.with_options(name="load_eu", retry=5)`."""
        site = caller()
        return StepFunction(
            self.__headway_function__, {**self._keys, **keys_of({**keys}, site)}, site
        )

    def map(self, items: Sequence[Any] | Expression, /, *args: Any, **kwargs: Any) -> Handle:
        """Make one step that runs for each item, with the item as its first argument.

        The other arguments are the same for all: `load.map(parts["names"], region="eu")`. How many
        run at once and may fail say the keys: `.with_options(max_parallel=8)`.
        """
        demand(".map()")
        site = caller()
        foreach = {**self._keys, "foreach": Given(items, site, 0)}
        mapped = StepFunction(self.__headway_function__, foreach, self._site)
        return mapped._made((item, *args), kwargs, site)

    def _made(self, args: tuple[Any, ...], kwargs: dict[str, Any], site: Site) -> Handle:
        keys = dict(self._keys)
        name = keys.pop("name", None)
        outputs = self._outputs(keys)
        made = {
            "python": Given(address_of(self.__headway_function__, self._site), self._site),
            "with": self._arguments(args, kwargs, site),
            **keys,
        }
        named = name.value if name else self.__headway_function__.__name__
        return add(named, made, site, named=name is not None, outputs=outputs)

    def _outputs(self, keys: dict[str, Any]) -> frozenset[str]:
        if "outputs" not in keys:
            found = _outputs_of(self.__headway_function__, self._site)
            if found:
                keys["outputs"] = Given(found, of_function(self.__headway_function__))
            return frozenset(found)
        outputs = keys["outputs"].value
        return frozenset(outputs) if isinstance(outputs, Mapping) else frozenset()

    def _arguments(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], site: Site
    ) -> dict[str, Given]:
        """Return the arguments by the names of the function's parameters."""
        function = self.__headway_function__
        signature = inspect.signature(function)
        kinds = {each.kind for each in signature.parameters.values()}
        if inspect.Parameter.POSITIONAL_ONLY in kinds or inspect.Parameter.VAR_POSITIONAL in kinds:
            message = f"`{function.__name__}` takes arguments without a name"
            hint = "a step is called with keyword arguments: leave out `/` and `*args`"
            raise AuthoringError("bad_arguments", message, hint, where=of_function(function))
        placed = [Given(value, site, position) for position, value in enumerate(args)]
        named = {name: Given(value, site, name) for name, value in kwargs.items()}
        try:
            bound = signature.bind(*placed, **named).arguments
        except TypeError as error:
            message = f"`{function.__name__}` does not take these arguments: {error}"
            hint = _mend(function, signature, kwargs)
            raise AuthoringError("bad_arguments", message, hint, where=site) from None
        for name, each in signature.parameters.items():
            if each.kind is inspect.Parameter.VAR_KEYWORD:
                bound.update(bound.pop(name, {}))
        return bound


def _mend(
    function: Callable[..., Any], signature: inspect.Signature, given: Mapping[str, Any]
) -> str:
    keys = [name for name in given if name in StepKeys.__annotations__]
    if keys and keys[0] not in signature.parameters:
        return f"keys of the step are given by .with_options({keys[0]}=…)"
    return f"it is {function.__name__}{signature}"


@overload
def step(function: Callable[..., Any], /) -> StepFunction: ...
@overload
def step(**keys: Unpack[StepKeys]) -> Callable[[Callable[..., Any]], StepFunction]: ...
def step(
    function: Callable[..., Any] | None = None, /, **keys: Unpack[StepKeys]
) -> StepFunction | Callable[[Callable[..., Any]], StepFunction]:
    """Make a function a step of pipelines. Its outputs are what its result's type declares.

    @step(resource_class="small", retry=3, outputs={"rows": int})
    def load(day: date) -> dict: ...
    """
    site = caller()
    if function is not None:
        return StepFunction(function, {}, site)
    given = keys_of({**keys}, site)
    return lambda function: StepFunction(function, given, site)


def shell(command: str, /, **keys: Unpack[StepKeys]) -> Handle:
    """Make a step that runs a shell command; values reach it by `env`, never inside the text."""
    site = caller()
    return _builder("shell", {"run": Given(command, site, 0)}, {**keys}, site)


def python(function: str, /, *, with_: Values | None = None, **keys: Unpack[StepKeys]) -> Handle:
    """Make a step of a function that is named by `module:function` and not imported here."""
    site = caller()
    kind = {"python": Given(function, site, 0)}
    return _builder("python", kind, {"with_": with_, **keys}, site)


class HttpKeys(StepKeys, total=False):
    """The keys of an `http` step; `timeout` is the step's own, `request_timeout` the request's."""

    method: str
    headers: Values
    json: Any
    body: str
    expect: Sequence[int]
    request_timeout: Duration


_REQUEST = ("method", "headers", "json", "body", "expect", "request_timeout")


def http(url: str | Expression, /, **keys: Unpack[HttpKeys]) -> Handle:
    """Make a step that sends one request; its output `status` is always there."""
    site = caller()
    given: dict[str, Any] = {**keys}
    request: dict[str, Any] = {"url": Given(url, site, 0)}
    for name in _REQUEST:
        if given.get(name) is not None:
            request[name.removeprefix("request_")] = Given(given.pop(name), site, name)
    return _builder("http", {"http": request}, given, site)


def sql(
    query: str,
    /,
    *,
    url: str,
    params: Values | None = None,
    to: str | None = None,
    **keys: Unpack[StepKeys],
) -> Handle:
    """Make a step of one statement; values stand as `:name`. Its output `count` is always there.

    sql("DELETE FROM sales WHERE day = :day", url="secret://warehouse", params={"day": day},
        name="forget")
    """
    site = caller()
    kind: dict[str, Any] = {"query": Given(query, site, 0), "url": Given(url, site, "url")}
    for name, value in (("params", params), ("to", to)):
        if value is not None:
            kind[name] = Given(value, site, name)
    return _builder("sql", {"sql": kind}, {**keys}, site)


def wait(
    duration: Duration | None = None,
    /,
    *,
    until: str | datetime | Expression | None = None,
    **keys: Unpack[StepKeys],
) -> Handle:
    """Make a step that waits for a time, or until one, without holding a worker."""
    site = caller()
    kind: dict[str, Any] = {}
    if duration is not None:
        kind["for"] = Given(duration, site, 0)
    if until is not None:
        kind["until"] = Given(until, site, "until")
    return _builder("wait", {"wait": kind}, {**keys}, site)


def _builder(what: str, kind: dict[str, Any], keys: dict[str, Any], site: Site) -> Handle:
    demand(f"{what}()")
    made = keys_of(keys, site)
    name = made.pop("name", None)
    if name is None:
        message = f"`{what}()` needs a name for its step"
        raise AuthoringError(
            "missing_key", message, f'such as {what}(…, name="{what}")', where=site
        )
    outputs = None
    given = getattr(made.get("outputs"), "value", {})
    if what not in ("http", "sql") and isinstance(given, Mapping):
        outputs = frozenset(given)
    return add(name.value, {**kind, **made}, site, named=True, outputs=outputs, place=name)


def add(
    name: Any,
    keys: dict[str, Any],
    site: Site,
    *,
    named: bool,
    outputs: frozenset[str] | None,
    place: Given | None = None,
) -> Handle:
    """Make a node of the pipeline that is being built."""
    if not isinstance(name, str):
        message = f"a step's name is text, not {type(name).__name__}"
        raise AuthoringError("wrong_type", message, 'such as name="load"', where=place or site)
    needs = keys.pop("needs", None)
    if "outputs" in keys:
        keys["outputs"] = _typed(keys["outputs"])
    node = Node(name, site, keys, outputs)
    handle = demand("step").add(node, named=named)
    if needs is not None:
        _need(handle, node, needs)
    return handle


def _need(handle: Handle, node: Node, needs: Given) -> None:
    """The reader judges what is no list; what is one may hold handles."""
    if not isinstance(needs.value, list | tuple):
        node.keys["needs"] = needs
        return
    if needs.value:
        handle.after(*needs.value)
        node.needs = [Given(each.value, needs.site, needs.at) for each in node.needs]


def _typed(outputs: Given) -> Given:
    """Outputs may be declared by Python types."""
    if not isinstance(outputs.value, Mapping):
        return outputs
    types: dict[str, Any] = {}
    for name, annotation in outputs.value.items():
        try:
            types[name] = annotation if isinstance(annotation, str) else declared(annotation).type
        except Unmappable as error:
            message = f"output `{name}`: {error.message}"
            raise AuthoringError("unmappable_type", message, error.hint, where=outputs) from None
    return Given(types, outputs.site, outputs.at)


def _outputs_of(function: Callable[..., Any], site: Site) -> dict[str, str]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:
        return {}  # a name that only a type checker knows
    try:
        return outputs_of(hints.get("return"))
    except Unmappable as error:
        message = f"the result of `{function.__name__}`: {error.message}"
        raise AuthoringError("unmappable_type", message, error.hint, where=site) from None


def address_of(function: Callable[..., Any], site: Site) -> str:
    """Return `module:function`. Raises AuthoringError for what a worker could not import."""
    module, name = function.__module__, function.__qualname__
    if "<" in name:
        message = f"a worker cannot import `{name}`: it is made while another function runs"
        hint = "move the step's function to the module's top level"
        raise AuthoringError("not_importable", message, hint, where=site)
    if not all(part.isidentifier() for part in module.split(".")):
        message = f"a worker cannot import `{module}`: it is no name of a module"
        hint = "rename the file, such as daily_sales.py"
        raise AuthoringError("not_importable", message, hint, where=site)
    return f"{module}:{name}"
