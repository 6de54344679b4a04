"""The HTTP API: it authenticates, calls one use case or one query, and renders the answer.

It never decides and holds no state of a run. Errors become problem+json in one place. Knows the
application package; knows neither storage nor broker. Called by `bootstrap`.
"""
