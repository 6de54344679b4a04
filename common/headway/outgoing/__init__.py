"""Requests to addresses that a definition or a parameter names: which are made, and how.

`addresses` says what an address is and whether it may be reached (pure); `transport` makes requests
to no other. Requests to addresses that the operator has set (coordinator, broker, database) do not
come here.
"""
