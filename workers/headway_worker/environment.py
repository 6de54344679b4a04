"""The environment that steps see: little of the worker's, nothing of its secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from headway.protocol.messages import Work
from headway_worker.scratch import Scratch

_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")


def base_environment(own: Mapping[str, str], allowed: Iterable[str]) -> dict[str, str]:
    """Return what every step gets of the worker's own environment.

    Variables named HEADWAY_* hold tokens and addresses; they are never passed on.
    """
    names = [*_PASSED, *(name for name in allowed if not name.startswith("HEADWAY_"))]
    env = {name: own[name] for name in names if name in own}
    env.setdefault("PATH", os.defpath)
    env.setdefault("LANG", "C.UTF-8")
    return env


def step_environment(
    base: Mapping[str, str], work: Work, scratch: Scratch, code: Path
) -> dict[str, str]:
    """Return the environment of one attempt. The step's own `env` cannot hide HEADWAY_*."""
    env = dict(base)
    env |= {str(name): str(value) for name, value in (work.body.get("env") or {}).items()}
    env |= {
        "HEADWAY_WORKDIR": str(scratch.work),
        "HEADWAY_CODE": str(code),
        "HEADWAY_OUTPUT": str(scratch.output),
        "HEADWAY_INPUTS": str(scratch.inputs),
        "HEADWAY_RUN": work.run,
        "HEADWAY_STEP": work.step,
        "HEADWAY_ATTEMPT": str(work.no),
        "HEADWAY_PIPELINE": work.pipeline,
        "HEADWAY_TEAM": work.team,
    }
    return env
