"""Use cases: open a transaction, call a pure function, save. Adapters come in through `ports`.

Knows the engine, admission and the ports; knows no SQL, HTTP, Celery or process.
"""
