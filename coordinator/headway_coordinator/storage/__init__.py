"""The database behind the ports of the application: the only place that knows SQLAlchemy.

One function an operation, named by intent; each conditional write carries the value it expects and
checks its row count. Rows never leave this package. Called by `bootstrap`, used through the ports.
"""
