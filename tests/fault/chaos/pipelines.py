"""The pipelines that run while things break: small graphs of every shape, for each team."""

from __future__ import annotations

from collections.abc import Iterator

TEAMS = ("red", "blue")
CLASSES = ("default", "io")
MIXED = ("mixed", "chain", "fan", "soft")  # what the steady load takes in turn
SPREAD_STEPS = 16
CROWD_STEPS = 10


def definitions(tick_s: float = 5.0, ticks: int = 13) -> Iterator[tuple[str, str]]:
    """Yield (file name, text); each pipeline is one team's, named `team-shape`.

    `ticks` and `tick_s` are how long the steps of `crowd` work.
    """
    for team in TEAMS:
        crowd = {f"s{i}": _shell(ticks, tick_s) for i in range(CROWD_STEPS)}
        for shape, steps in {**_SHAPES, "crowd": {**crowd, "join": _join(crowd)}}.items():
            head = f"headway: 1\npipeline: {team}-{shape}\nteam: {team}\nowner: x@example.com\n"
            body = "".join(f"  {name}: {{{step}}}\n" for name, step in steps.items())
            finals = f"finally:\n  tidy: {{{_shell(1, 0.02)}}}\n" if shape == "mixed" else ""
            yield f"{team}-{shape}.yaml", f"{head}steps:\n{body}{finals}"


def _shell(ticks: int, each: float, more: str = "", *, fails: int = 0) -> str:
    run = f"run: 'TICKS={ticks} EACH={each} FAILS={fails}; . ./work.sh', outputs: {{attempt: int}}"
    return f"{run}, {more}" if more else run


def _python(ticks: int, each: float, more: str) -> str:
    given = f"with: {{ticks: {ticks}, each: {each}}}, outputs: {{attempt: int}}"
    return f'python: "chaos_steps:work", {given}, {more}'


def _join(needs: dict[str, str]) -> str:
    return _shell(1, 0.05, f"needs: [{', '.join(needs)}]")


_RETRY = "retry: {max: 3, delay: 200ms, backoff: fixed, jitter: false}"
_FAN = {f"part{i}": _shell(2, 0.15, "needs: [split]") for i in range(5)}
# Half-seconds apart, so that some end at any moment of a fault.
_SPREAD = {f"s{i}": _shell(i + 1, 0.5) for i in range(SPREAD_STEPS)}
_SHAPES: dict[str, dict[str, str]] = {
    "chain": {
        f"s{i}": _shell(1, 0.1, f"needs: [s{i - 1}]" if i else "class: io") for i in range(5)
    },
    "fan": {"split": _shell(1, 0.05), **_FAN, "join": _join(_FAN)},
    "mixed": {
        "first": _shell(1, 0.1),
        "left": _shell(3, 0.2, "needs: [first], class: io"),
        "right": _python(2, 0.1, "needs: [first]"),
        "flaky": _shell(1, 0.05, f"needs: [first], {_RETRY}", fails=1),
        "join": _shell(1, 0.05, "needs: [left, right, flaky]"),
    },
    "soft": {
        "breaks": _shell(1, 0.05, "allow_failure: true", fails=9),
        "after": _shell(1, 0.1, "needs: [breaks], when: all_done"),
    },
    "spread": _SPREAD,
}
