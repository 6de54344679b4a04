"""Real servers and processes for tests: found, started on free loopback ports, and ended.

A server is looked for in this order: an address in the environment, Docker, a binary of this
machine, a binary from a Python package; a sender of webhooks is installed, or unpacked from
Debian's package. `tests/conftest.py` makes fixtures of what is here. Knows
nothing of Headway's own packages.
"""
