from __future__ import annotations

import io
import os

import structlog

from headway.lossy_stream import LossyStream


def test_what_is_taken_is_passed_on() -> None:
    target = io.StringIO()
    stream = LossyStream(target)
    print("a line", file=stream, flush=True)
    assert target.getvalue() == "a line\n"
    assert stream.failures == 0


def test_a_reader_that_is_gone_costs_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", buffering=1) as pipe:
        stream = LossyStream(pipe)
        os.close(reading)
        logger = structlog.PrintLogger(stream)  # type: ignore[arg-type]
        for _ in range(3):
            logger.msg("an event")
        assert stream.failures
        # What is still in its buffer could not be written either: close it quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_a_closed_stream_is_borne() -> None:
    target = io.StringIO()
    target.close()
    stream = LossyStream(target)
    stream.write("a line\n")
    stream.flush()
    assert stream.failures
