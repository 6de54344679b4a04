"""What `headway simulate` says of a definition is what `headway run --local` makes of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from headway_coordinator.embedded import HEADWAY

# Each step does what is assumed of it below; nothing depends on how fast the machine is.
TEXT = """\
headway: 1
pipeline: p
team: t
owner: o
params: {least: {type: int, default: 5}}
steps:
  count: {run: 'echo n=3 >> "$HEADWAY_OUTPUT"', outputs: {n: int}}
  flaky:
    run: test "$HEADWAY_ATTEMPT" = 2
    retry: {max: 2, backoff: fixed, delay: 10ms}
  broken: {run: exit 3, needs: [count], retry: {max: 1, delay: 10ms}}
  hangs: {run: sleep 600, timeout: 300ms, allow_failure: true}
  nap: {wait: 20ms, needs: [count]}
  much: {run: 'true', needs: [count], if: steps.count.outputs.n > params.least}
  little: {run: 'true', needs: [count, nap], if: steps.count.outputs.n <= params.least}
  after_much: {run: 'true', needs: [much]}
  either: {run: 'true', needs: [much, little], when: any_succeeded}
  after_broken: {run: 'true', needs: [broken]}
  alert: {run: 'true', needs: [broken], when: any_failed}
  goes_on: {run: 'true', needs: [hangs, flaky]}
  odd: {run: 'true', needs: [count], if: '[1, 2][steps.count.outputs.n] > 0'}
finally:
  cleanup: {run: 'true'}
"""
ASSUMED = (
    *("--output", 'count={"n": 3}', "--outcome", "flaky#1=failed", "--outcome", "broken=failed"),
    *("--duration", "hangs=10m"),
)
# A simulation speaks of the definition's keys, and does not know how a step fails.
IN_WORDS_OF_A_RUN = {"if": "condition", "when": "upstream", "upstream_failed": "upstream"}
OF_A_WORKER = {"exit_status"}


def headway(folder: Path, *args: str) -> Any:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
    done = subprocess.run(
        [*HEADWAY, *args, "--json"],
        env={**plain, "TMPDIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return json.loads(done.stdout)


def test_a_simulation_and_a_real_run_end_alike(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(TEXT)
    simulated = headway(tmp_path, "simulate", "p.yaml", *ASSUMED)
    real = headway(tmp_path, "run", "p.yaml", "--local")
    assert simulated["state"] == real["state"] == "failed"
    foreseen = {
        name: (step["state"], said(step["reason"]), step["attempts"])
        for name, step in simulated["steps"].items()
    }
    found = {
        name: (step["state"], "failed" if step["reason"] in OF_A_WORKER else step["reason"], tries)
        for name, step in real["steps"].items()
        for tries in [step["attempts"]]
    }
    assert foreseen == found
    reasons = {reason for _, reason, _ in found.values()}
    assert reasons == {None, "condition", "upstream", "failed", "timed_out", "expression_error"}


def said(reason: str | None) -> str | None:
    return IN_WORDS_OF_A_RUN.get(reason or "", reason)
