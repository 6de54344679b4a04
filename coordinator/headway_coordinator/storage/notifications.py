"""The outbox of notifications: written with a run's end, and moved by whoever sends them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    delete,
    exists,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy import insert as plain_insert

from headway.crash_points import crash_point
from headway_coordinator.application.notify_ports import (
    NewNotification,
    Notification,
    NotificationFilter,
    Tried,
)
from headway_coordinator.storage.database import Database, moment_of
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.lists import newest, page_of
from headway_coordinator.storage.rows import Rows
from headway_coordinator.storage.schema import NOTIFICATION_WAITING, audit, notification, run
from headway_coordinator.storage.upsert import insert

NOTED = ("id", "dedupe", "team", "pipeline", "run", "event", "webhook", "body")
_READ = tuple(
    notification.c[name]
    for name in (
        "id", "team", "pipeline", "run", "event", "webhook", "body", "state", "attempts",
        "created_at", "due_at", "tried_at", "problem",
    )
)  # fmt: skip
# Literals, since a prepared statement takes no list.
_FAILED: Any = [literal_column("'failed'"), literal_column("'timed_out'")]
# The run that ended last is among the newest ones, and to read those costs the same always.
_NEWEST = 100


def note_row(new: NewNotification) -> tuple[Any, ...]:
    """Return the row of a new notification, in the order of `NOTED`."""
    texts = (new.id, new.dedupe, new.team, new.pipeline, new.run, new.event)
    return (*texts, new.webhook, new.body)


def noting(database: Database, given: Rows) -> Any:
    """Return the statement that keeps given notifications, each once.

    A recovery is one if the run that ended last before this one failed or timed out, or if this
    one did before it was retried, and a notification told of it.
    """
    names = [*NOTED, "state", "attempts", "created_at", "due_at"]
    now = database.transaction_now
    same = [literal("waiting"), literal(0), now.label("created_at"), now.label("due_at")]
    rows = select(*(given.c[name] for name in NOTED), *same)
    recovered = or_(_last_end(given).in_(_FAILED), _told_of_failure(given))
    return (
        insert(database.dialect, notification)
        .from_select(
            names,
            rows.where(or_(given.c.event != "recovered", recovered)),
            include_defaults=False,
        )
        .on_conflict_do_nothing(index_elements=["dedupe"])
    )


def _last_end(given: Rows) -> Any:
    """Return the state of the pipeline's run that ended last before the given one."""
    mine, other = run.alias("mine"), run.alias("other")
    my_end = select(mine.c.finished_at).where(mine.c.id == given.c.run)
    newest = (
        select(other.c.state, other.c.finished_at, other.c.id)
        .where(
            other.c.team == given.c.team,
            other.c.pipeline == given.c.pipeline,
            other.c.id != given.c.run,
            other.c.finished_at <= my_end.correlate(given.source).scalar_subquery(),
        )
        .order_by(other.c.created_at.desc(), other.c.id.desc())
        .limit(_NEWEST)
        .correlate(given.source)
        .subquery("newest")
    )
    last = select(newest.c.state).order_by(newest.c.finished_at.desc(), newest.c.id.desc())
    return last.limit(1).correlate(given.source).scalar_subquery()


def _told_of_failure(given: Rows) -> Any:
    earlier = notification.alias("earlier")
    return exists().where(earlier.c.run == given.c.run, earlier.c.event.in_(_FAILED))


class StoredNotifications:
    """Implements `Notifications`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(
        self,
        limit: int,
        *,
        but: Collection[str] = (),
        not_to: Collection[tuple[str, str]] = (),
    ) -> tuple[list[Notification], datetime | None]:
        wanted = (
            select(*_READ, self._database.now.label("now"))
            .where(NOTIFICATION_WAITING)
            .order_by(notification.c.due_at, notification.c.id)
            .limit(limit + 1)
        )
        if but:
            wanted = wanted.where(notification.c.id.not_in(sorted(but)))
        if not_to:
            place = tuple_(notification.c.team, notification.c.webhook)
            wanted = wanted.where(place.not_in(sorted(not_to)))
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        found = [Notification(*row[:-1]) for row in rows]
        due = [n for n, row in zip(found, rows, strict=True) if n.due_at <= moment_of(row.now)]
        page = due[:limit]
        return page, found[len(page)].due_at if len(found) > len(page) else None

    @crash_point("notifications.settle")
    def settle(self, id: str, attempts: int, tried: Tried) -> bool:
        values: dict[str, Any] = {
            "state": tried.state,
            "attempts": attempts + 1,
            "tried_at": self._database.now,
            "problem": None if tried.problem is None else clean_text(tried.problem[:500]),
        }
        params: dict[str, Any] = {}
        if tried.again is not None:
            values["due_at"] = self._database.later("again")
            params["again"] = self._database.span(tried.again)
        moved = (
            update(notification)
            .where(
                notification.c.id == id,
                NOTIFICATION_WAITING,
                notification.c.attempts == attempts,
            )
            .values(**values)
        )
        with self._database.prompt() as connection:
            return connection.execute(moved, params).rowcount == 1

    @crash_point("notifications.retry")
    def retry(self, id: str, *, actor: str) -> bool:
        with self._database.transaction() as connection:
            return self._retry(connection, id, actor)

    @crash_point("notifications.retry.rows")
    def _retry(self, connection: Connection, id: str, actor: str) -> bool:
        moved = (
            update(notification)
            .where(notification.c.id == clean_text(id), notification.c.state != "sent")
            .values(state="waiting", attempts=0, due_at=self._database.now)
            .returning(notification.c.team, notification.c.run)
        )
        row = connection.execute(moved).one_or_none()
        if row is None:
            return False
        entry = {"entity": "notification", "id": id, "run": row.run, "to": "waiting"}
        connection.execute(
            plain_insert(audit).values(
                at=self._database.now,
                epoch=0,  # no leader did it
                holder="",
                actor=clean_text(actor),
                team=row.team,
                run="",
                transitions=[entry],
            )
        )
        return True

    @crash_point("notifications.forget")
    def forget(self, older_than: timedelta, limit: int) -> int:
        age = self._database.later("age")
        settled = notification.c.state != "waiting"
        old = (
            select(notification.c.id)
            # What was tried then was made before: that is what there is an index of.
            .where(notification.c.created_at < age, notification.c.tried_at < age, settled)
            .order_by(notification.c.created_at)
            .limit(limit)
        )
        # Said once more of the row itself: somebody may retry it meanwhile.
        gone = delete(notification).where(notification.c.id.in_(old), settled)
        with self._database.prompt() as connection:
            return connection.execute(gone, {"age": self._database.span(-older_than)}).rowcount

    def get(self, id: str) -> Notification | None:
        wanted = select(*_READ).where(notification.c.id == clean_text(id))
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else Notification(*row)

    def listing(self, wanted: NotificationFilter) -> tuple[list[Notification], str | None]:
        rows = select(*_READ)
        if wanted.pipeline is not None:
            rows = rows.where(notification.c.pipeline == clean_text(wanted.pipeline))
        if wanted.state is not None:
            rows = rows.where(notification.c.state == wanted.state)
        at, id = notification.c.created_at, notification.c.id
        rows = newest(rows, wanted, team=notification.c.team, at=at, id=id)
        with self._database.reading() as connection:
            found = [Notification(*row) for row in connection.execute(rows)]
        return page_of(found, wanted.limit, lambda each: (each.created_at, each.id))
