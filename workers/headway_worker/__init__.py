"""The worker: claims dispatched attempts, executes their steps and reports how they ended.

It knows the broker (one Celery task), the coordinator's HTTP API and this machine's processes;
it has no database and no right beyond its team. `main.run` is a whole worker; `attempt` is one
attempt from claim to report, without Celery. It never imports the coordinator.
"""
