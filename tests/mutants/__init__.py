"""Small defects made on purpose: each must make a test fail, or the tests prove nothing.

`scripts/mutants.py` makes them, one at a time, in a copy of the source.
"""
