from __future__ import annotations

from pathlib import Path

from headway.protocol.messages import Work
from headway_worker.environment import base_environment, step_environment
from headway_worker.scratch import Scratch

OWN = {
    "PATH": "/usr/bin",
    "HOME": "/home/worker",
    "HEADWAY_TOKEN": "hw_secret",
    "HEADWAY_BROKER_URL": "redis://:secret@broker",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "REGION": "eu",
}


def test_steps_see_nothing_of_the_worker_s_secrets() -> None:
    env = base_environment(OWN, ["REGION", "HEADWAY_TOKEN", "ABSENT"])
    assert env == {
        "PATH": "/usr/bin",
        "HOME": "/home/worker",
        "LANG": "C.UTF-8",
        "REGION": "eu",
    }


def test_there_is_always_a_path() -> None:
    assert base_environment({}, [])["PATH"]


def test_a_step_s_env_adds_to_the_base_and_cannot_hide_headway_s_own() -> None:
    work = Work(
        run="r",
        pipeline="p",
        team="t",
        step="s",
        no=2,
        kind="run",
        digest="d",
        body={"run": "true", "env": {"DAY": "2026-01-31", "HEADWAY_RUN": "x", "PATH": "/own"}},
    )
    folders = Scratch(Path("/s"), Path("/s/work"), Path("/s/output"), Path("/s/inputs"))
    env = step_environment({"PATH": "/usr/bin"}, work, folders, Path("/code"))
    assert env == {
        "PATH": "/own",
        "DAY": "2026-01-31",
        "HEADWAY_WORKDIR": "/s/work",
        "HEADWAY_CODE": "/code",
        "HEADWAY_OUTPUT": "/s/output",
        "HEADWAY_INPUTS": "/s/inputs",
        "HEADWAY_RUN": "r",
        "HEADWAY_STEP": "s",
        "HEADWAY_ATTEMPT": "2",
        "HEADWAY_PIPELINE": "p",
        "HEADWAY_TEAM": "t",
    }
