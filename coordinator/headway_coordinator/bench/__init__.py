"""`headway bench`: Headway and Celery canvas, side by side on private servers, in one call.

The same graphs, the same number of slots, the same broker; a step does nothing on either side.
Headway runs as it is deployed: engine, API and worker as processes, Python steps through warm
child interpreters, logs and audit on. Celery keeps its results in the same broker.
"""
