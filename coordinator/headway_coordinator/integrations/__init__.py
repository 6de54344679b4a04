"""Systems beside Headway: artifact stores, webhook sources, notifiers, git, lineage.

Each one sits behind a port of the application package, and may be slow or away. Never called inside
a transaction. Called by `bootstrap`.
"""
