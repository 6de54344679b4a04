"""`headway test`: the expectations that definitions carry, each beside a simulated run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from headway.cli.arguments import FilesArgument, JsonOption
from headway.cli.definitions import valid_definitions
from headway.cli.printing import clean, painted, print_document
from headway.cli.simulator import simulator
from headway.errors import DefinitionError
from headway.simulation.expected import assumed_in, differences
from headway.simulation.parts import Simulate, Simulated

if TYPE_CHECKING:
    from headway.spec import Spec

_GREEN, _RED = "32", "31"


def register(app: typer.Typer) -> None:
    app.command("test", help="Run the tests that definitions carry, in simulation.")(run_tests)


@dataclass(frozen=True, slots=True)
class _Tested:
    """A test and what was different; `simulated` is None where the run could not be made."""

    spec: Spec
    name: str
    differences: list[str]
    simulated: Simulated | None

    def as_dict(self) -> dict[str, Any]:
        made = self.simulated
        return {
            "pipeline": self.spec.pipeline,
            "team": self.spec.team,
            "name": self.name,
            "passed": not self.differences,
            "differences": self.differences,
            "state": made and made.state,
            "makespan_s": made and made.makespan_s,
        }


def run_tests(files: FilesArgument, json: JsonOption = False) -> int:
    """Run the tests under `tests` of every definition in the files; no server is asked."""
    specs = valid_definitions(files).specs
    if not any(spec.canonical.get("tests") for spec in specs):
        message = "there are no tests in " + ", ".join(str(file) for file in files)
        hint = "write them under `tests`; docs/simulate.md says how"
        raise DefinitionError(message, code="no_tests", hint=hint)
    tested = list(_all(specs, simulator("test")))
    failed = sum(bool(each.differences) for each in tested)
    if json:
        print_document({"passed": not failed, "tests": [each.as_dict() for each in tested]})
    else:
        for each in tested:
            _print(each)
        count = f"{len(tested)} test{'' if len(tested) == 1 else 's'}"
        print(f"{count}, {failed} failed" if failed else f"{count}, all ok")
    return 1 if failed else 0


def _all(specs: tuple[Spec, ...], simulate: Simulate) -> Iterator[_Tested]:
    for spec in specs:
        for each in spec.canonical.get("tests") or ():
            yield _tested(spec, each, simulate)


def _tested(spec: Spec, each: Mapping[str, Any], simulate: Simulate) -> _Tested:
    try:
        simulated = simulate(spec.canonical, spec.digest, assumed_in(each))
    except DefinitionError as error:  # such as a time that no calendar has
        return _Tested(spec, each["name"], [f"it cannot be run: {error.message}"], None)
    return _Tested(spec, each["name"], differences(each["expect"], simulated), simulated)


def _print(tested: _Tested) -> None:
    ok = not tested.differences
    word = painted("ok    ", _GREEN) if ok else painted("FAILED", _RED)
    print(f"{word}  {clean(f'{tested.spec.team}/{tested.spec.pipeline}: {tested.name}')}")
    for difference in tested.differences:
        print(clean(f"        {difference}"))
