"""`headway bench`: Headway and Celery canvas, side by side on private servers, in one call.

The same graphs, the same number of slots, the same broker; a step does nothing on either side.
Headway runs as it is deployed: engine, API and worker as processes, Python steps through warm
child interpreters, logs and audit on, a database that writes through to its disk. Celery keeps its
results in Redis, and runs on the faster of its prefork and threads pools, which is measured too.
"""
