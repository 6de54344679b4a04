"""What requests may hold; unknown keys are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Header, Path, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from headway.expressions.durations import parse_duration
from headway.protocol.queues import TEAM_PATTERN
from headway_coordinator.application.completions import storable

_NAME = rf"^{TEAM_PATTERN}$"


def _within_years(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time is out of range") from error


def _storable(value: Any) -> Any:
    if storable(value) != value:
        raise ValueError("U+0000, NaN, infinity and whole numbers beyond 64 bits are not allowed")
    return value


def _seconds(value: int | str | None) -> float | None:
    if isinstance(value, str):
        value = int(parse_duration(value).total_seconds())
    if value is not None and not 1 <= value <= 10 * 366 * 86_400:
        raise ValueError("it is between a second and ten years")
    return value


def _grace_seconds(value: Any) -> Any:
    if isinstance(value, str):
        value = 0 if value in ("0", "0s") else parse_duration(value).total_seconds()
    if isinstance(value, bool):
        raise ValueError("it is a number of seconds, or a duration such as 2m")
    if isinstance(value, int | float) and not 0 <= value <= 3600:
        raise ValueError("it is between nothing and an hour")
    return value


def _demand_one(force: bool, grace: float | None) -> None:
    if force and grace is not None:
        raise ValueError("`force` gives no `grace`: leave one of them out")


Grace = Annotated[float | None, BeforeValidator(_grace_seconds)]
NameText = Annotated[str, StringConstraints(pattern=_NAME)]
Line = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_storable)]

MomentQuery = Annotated[Annotated[AwareDatetime, AfterValidator(_within_years)] | None, Query()]
RunId = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
RunIdText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
SecretPart = Annotated[str, Path(min_length=1, max_length=200)]
NamePart = Annotated[str, Path(pattern=_NAME)]
ChildrenQuery = Annotated[Literal["some", "all"], Query()]
StepPart = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.\[\]-]{1,128}$")]
StepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\[\]-]{1,128}$")]
StepQuery = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.\[\]-]{1,128}$")]
VersionPart = Annotated[int, Path(ge=1, lt=2**31)]
VersionCursor = Annotated[int | None, Query(ge=1, lt=2**31)]
NameQuery = Annotated[str | None, Query(pattern=_NAME)]
PathQuery = Annotated[str, Query(min_length=1, max_length=1024, pattern=r"^[^\x00]*$")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,200}$")]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Shape):
    """What a request holds that has nothing to say: an empty object, or no body at all."""


class File(Shape):
    """A definition file: the name for messages, and its text."""

    name: Line
    text: Annotated[str, StringConstraints(max_length=1024 * 1024)]


class Apply(Shape):
    files: Annotated[list[File], Field(min_length=1, max_length=500)]


class StartRun(Shape):
    """Parameters are typed by the pipeline's definition; text is read as a shell would give it."""

    pipeline: NameText
    team: NameText | None = None
    params: Annotated[dict[str, Any], AfterValidator(_storable)] = {}
    logical_date: Annotated[AwareDatetime, AfterValidator(_within_years)] | None = None


class StartBackfill(Shape):
    """`from` and `until` are times, or days in the schedule's zone. `every`: seconds, or text such
    as 1d; it or `cron` stand for a schedule that the pipeline has not. `dry_run`: only look."""

    pipeline: NameText
    team: NameText | None = None
    trigger: NameText | None = None
    first: Annotated[Line, Field(alias="from")]
    until: Line | None = None
    every: Annotated[int | str | None, AfterValidator(_seconds)] = None
    cron: Line | None = None
    timezone: Line | None = None
    params: Annotated[dict[str, Any], AfterValidator(_storable)] = {}
    order: Literal["newest", "oldest"] = "oldest"
    only: Literal["all", "failed", "missing"] = "all"
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 3
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    dry_run: bool = False


class ChangeBackfill(Shape):
    """`max_in_flight`: how many of its runs may be under way at a time from now on."""

    max_in_flight: Annotated[int, Field(ge=1, le=1000)]


class CancelBackfill(Shape):
    reason: Text | None = None
    keep_running: bool = False


class Asked(Shape):
    """`reason`: why, for the record."""

    reason: Text | None = None


class CancelRun(Asked):
    """`force`: kill what runs at once, and leave `finally` out. `grace`: how long what runs has to
    end by itself, as a number of seconds or a duration such as `2m`."""

    force: bool = False
    grace: Grace = None

    @model_validator(mode="after")
    def _one_of_both(self) -> CancelRun:
        _demand_one(self.force, self.grace)
        return self


class ClearSteps(Asked):
    """`only`: not what follows. `force`: stop what runs first. `dry_run`: only say what it were."""

    steps: Annotated[list[StepName], Field(min_length=1, max_length=1000)]
    only: bool = False
    force: bool = False
    dry_run: bool = False


class RerunRun(Asked):
    """`params` replace the old run's by name; `latest`: of the newest definition."""

    params: Annotated[dict[str, Any], AfterValidator(_storable)] = {}
    latest: bool = False


class MarkSteps(Asked):
    """`outputs`: of the one step that is marked as succeeded. `force`: stop what runs first."""

    steps: Annotated[list[StepName], Field(min_length=1, max_length=1000)]
    state: Literal["failed", "skipped", "succeeded"]
    outputs: Annotated[dict[str, Any], AfterValidator(_storable)] | None = None
    force: bool = False


class BulkRuns(Asked):
    """The same wish for many runs. `force` and `grace`: of a cancel; `steps`: of a clear or mark,
    which may be forced, too; `only`: of a clear; `state`: of a mark; `latest`: of a rerun."""

    action: Literal["cancel", "clear", "mark", "pause", "rerun", "resume", "retry"]
    ids: Annotated[list[RunIdText], Field(min_length=1, max_length=500)]
    force: bool = False
    grace: Grace = None
    steps: Annotated[list[StepName], Field(max_length=1000)] = []
    only: bool = False
    state: Literal["failed", "skipped", "succeeded"] | None = None
    latest: bool = False

    @model_validator(mode="after")
    def _fits_its_action(self) -> BulkRuns:
        needed = {"clear": {"steps"}, "mark": {"steps", "state"}}.get(self.action, set())
        taken = {
            "cancel": {"force", "grace"},
            "clear": {"steps", "only", "force"},
            "mark": {"steps", "state", "force"},
            "rerun": {"latest"},
        }.get(self.action, set())
        for name in ("force", "grace", "steps", "only", "state", "latest"):
            given = getattr(self, name) not in (None, [])
            given = given and getattr(self, name) is not False
            if given and name not in taken:
                raise ValueError(f"`{self.action}` takes no `{name}`: leave it out")
            if not given and name in needed:
                raise ValueError(f"`{self.action}` needs `{name}`")
        _demand_one(self.force, self.grace)
        return self


class Rollback(Shape):
    """`version`: which one is to be the newest again."""

    version: Annotated[int, Field(ge=1, lt=2**31)]


class AddTeam(Shape):
    name: NameText


class PutSecret(Shape):
    """`team` null: the caller's, or the only one."""

    value: Annotated[str, Field(repr=False)]
    team: NameText | None = None


class AddToken(Shape):
    """`team` null: the whole installation. `expires_in`: seconds, or text such as 30d."""

    subject: Line
    team: NameText | None = None
    role: Literal["viewer", "operator", "author", "admin", "worker"]
    expires_in: Annotated[int | str | None, AfterValidator(_seconds)] = None
