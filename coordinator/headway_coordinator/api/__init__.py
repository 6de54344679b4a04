"""The HTTP surface: requests in, use cases called, JSON or a problem out.

Deny by default: the gate lets nobody past without a valid token, except on an exact list of paths,
and every route names the action that its caller's role must allow. Nothing is decided here. Knows
the application layer; knows neither storage's SQL, the broker nor the pages.
"""
