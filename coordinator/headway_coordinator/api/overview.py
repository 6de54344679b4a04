"""The installation: queues, workers, the leader, the audit trail, and this API's description."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

import headway
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, answer_page, page
from headway_coordinator.application.diagnosing import LEASE, diagnose, key_fingerprint
from headway_coordinator.application.pausing import with_pauses
from headway_coordinator.application.reading import visible_run
from headway_coordinator.application.worker_ports import WorkerInfo

router = APIRouter(prefix="/api/v1", tags=["installation"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_QUEUES))]
Auditor = Annotated[Identity, Depends(Allow(Action.READ_AUDIT))]
Anyone = Annotated[Identity, Depends(Allow(Action.READ_DEFINITIONS))]
RunQuery = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]


@router.get("/queues")
def queues(parts: Parts, identity: Reader, limit: Limit = 200, cursor: Cursor = None) -> Response:
    """List the queues: what waits, what runs, and how many slots serve them."""
    rows = parts.storage.queries.queues(teams=identity.teams)
    rows = with_pauses(parts.storage, "queue", rows)
    return answer_page("queues", page(rows, lambda row: str(row["queue"]), limit, cursor))


@router.get("/workers")
def workers(parts: Parts, identity: Reader, limit: Limit = 200, cursor: Cursor = None) -> Response:
    """List the workers as last heard of; `live`: heard of within four heartbeats."""
    now = parts.storage.sweeps.database_now()
    mine = [w for w in parts.storage.workers.all() if identity.covers(w.team)]
    shown, following = page(mine, lambda worker: worker.worker, limit, cursor)
    rows = [_worker(worker, now - worker.seen_at <= parts.live_within) for worker in shown]
    return answer_page("workers", (rows, following))


def _worker(worker: WorkerInfo, live: bool) -> dict[str, Any]:
    return {**asdict(worker), "live": live}


@router.get("/leader")
def leader(parts: Parts, identity: Reader) -> Response:
    """Say who leads, since which epoch, and whether that is still so."""
    lease = parts.storage.leases.current(LEASE)
    now = parts.storage.sweeps.database_now()
    row: dict[str, Any] = {"name": LEASE, "epoch": 0, "holder": None, "boot": None}
    row |= {"expires_at": None, "alive": False, "dispatch": dict(parts.dispatch_state())}
    if lease is not None:
        row |= {
            "epoch": lease.epoch,
            "holder": lease.holder,
            "boot": lease.boot,
            "expires_at": lease.expires_at,
            "alive": lease.expires_at - now > timedelta(),
        }
    return answer(row)


@router.get("/diagnosis")
def diagnosis(parts: Parts, identity: Reader) -> Response:
    """Say what is wrong with the installation, and the mend; the servers only to its own people."""
    teams = identity.teams
    found = diagnose(parts.storage, parts.secrets, teams=teams, live_within=parts.live_within)
    whole = teams is None
    knows_the_key = whole and identity.may(Action.MANAGE_TOKENS)
    return answer(
        {
            "version": headway.__version__,
            "at": parts.clock.now(),
            "key": key_fingerprint(parts.secret_key) if knows_the_key else None,
            "servers": [each.as_dict() for each in parts.examine()] if whole else None,
            "findings": [each.as_dict() for each in found],
        }
    )


@router.get("/audit")
def audit(
    parts: Parts,
    identity: Auditor,
    run: RunQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List what changed, by whom, newest first."""
    if run is not None:
        visible_run(parts.storage, identity, run)
    shown = parts.storage.queries.audit(run=run, teams=identity.teams, limit=limit, cursor=cursor)
    return answer_page("audit", shown)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request, identity: Anyone) -> Response:
    """Describe this API."""
    return answer(request.app.openapi())
