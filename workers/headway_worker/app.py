"""The Celery app: one task, `headway.execute`. Flower is started with `-A headway_worker.app`.

It imports without team, token or database. The task does nothing by itself: `main` gives it an
`Intake`, so `celery -A headway_worker.app worker` alone refuses its messages.
"""

from __future__ import annotations

from celery import Celery

from headway.broker_options import celery_settings
from headway.protocol.messages import Dispatch
from headway.protocol.queues import TASK
from headway_worker.broker.contract import Ring
from headway_worker.intake import Intake
from headway_worker.settings import BrokerSettings

app = Celery("headway", set_as_current=False)
app.conf.update(celery_settings(BrokerSettings().broker_url))
app.conf.update(task_default_queue="headway.unused")


@app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def execute(dispatch: Dispatch, ring: Ring) -> None:
    """Run the dispatched attempt, if its claim is won."""
    if _intake is None:
        raise RuntimeError("start workers with `headway worker`, not with Celery's own command")
    _intake.run(dispatch, ring)


def serve(intake: Intake) -> None:
    """Give the task what it works with."""
    global _intake
    _intake = intake


_intake: Intake | None = None
