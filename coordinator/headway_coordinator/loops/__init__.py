"""One duty a file. A loop takes its ports, a clock and an interval; `tick()` does one bounded unit.

Loops call use cases and never decide. Only the runner sleeps, stops and catches everything.
"""
