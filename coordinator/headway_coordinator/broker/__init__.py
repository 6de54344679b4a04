"""The coordinator's side of the broker: publishes doorbells, consumes completion events, looks on.

With the workers' own, the only place that knows Celery and kombu. Each part has its own thread and
connection, discards the connection after any error, and never blocks its caller.
"""
