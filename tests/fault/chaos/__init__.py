"""Chaos: a whole Headway of real processes on real servers, broken on purpose while it works.

Each scenario gets an installation of its own: two coordinators, workers of two teams, a durable
PostgreSQL, a broker. It breaks one kind of thing, measures how long the work takes to go on, lets
everything come to rest, and has the checker look at what was left behind. `python -m
tests.fault.chaos` runs them and prints the table; `make chaos` calls it.
"""
