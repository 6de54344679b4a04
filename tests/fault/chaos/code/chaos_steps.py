"""A Python step that does what `work.sh` does."""

import os
import time


def work(ticks: int, each: float) -> dict[str, int]:
    """Work, and write what is done to $EFFECTS."""
    _say("start")
    for tick in range(ticks):
        if tick:
            _say("tick")
        time.sleep(each)  # the work of the step, so that faults find it running
    _say("end")
    return {"attempt": int(os.environ["HEADWAY_ATTEMPT"])}


def _say(event: str) -> None:
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    names = ("HEADWAY_RUN", "HEADWAY_STEP", "HEADWAY_ATTEMPT")
    who = " ".join(os.environ[name] for name in names)
    line = f"{who} {event} {now:.3f} {os.getpid()} {os.environ['HEADWAY_WORKDIR']}\n"
    effects = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(effects, line.encode())
    os.close(effects)
