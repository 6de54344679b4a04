"""The coordinator: it turns accepted events into runs and advances them in the database.

Imports point inward: `bootstrap`, then the adapters (api, page, loops, storage, broker,
integrations, which do not know each other), then `application`, then the pure packages (engine,
admission, schedule, triggers, leadership, objectives, access). It never imports the worker.
"""
