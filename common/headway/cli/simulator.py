"""The engine that simulates, found by its entry point: it is the coordinator's."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

from headway.errors import DefinitionError
from headway.simulation.parts import GROUP, Simulate


def simulator(command: str) -> Simulate:
    """Return what simulates runs. Raises DefinitionError: an extra is missing."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    try:
        made: Simulate = found["coordinator"].load()
        import cel  # noqa: F401 - evaluates expressions, which is no time to find it missing
    except (ModuleNotFoundError, KeyError) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else error.args[0]
        message = f"`headway {command}` needs `{missing}`, which is not installed"
        hint = "install the extra: pip install 'headway[coordinator]'"
        raise DefinitionError(message, code="missing_extra", hint=hint) from error
    return made


@contextmanager
def without_collection() -> Iterator[None]:
    """Let nobody look for circles of objects meanwhile: there are none, and looking takes a sixth
    of the time that 10,000 steps take."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
