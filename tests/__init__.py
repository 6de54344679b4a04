"""Headway's tests; a package so that `tests.servers` can be imported from any of them."""
