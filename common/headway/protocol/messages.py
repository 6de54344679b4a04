"""The messages themselves, as strict, frozen, size-limited models.

Every message is parsed from raw bytes with `parse`, which checks the size first. Unknown keys,
wrong types and over-long strings are refused: a team's worker is hostile to the coordinator.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
)
from pydantic_core import to_json

from headway.portable import unheld_number, with_held_numbers
from headway.protocol.bounds import is_flooded, values_in

VERSION = 1
DISPATCH_LIMIT_BYTES = 1024
OUTPUTS_LIMIT_BYTES = 256 * 1024
COMPLETION_LIMIT_BYTES = 2 * OUTPUTS_LIMIT_BYTES
REQUEST_LIMIT_BYTES = 8 * 1024 * 1024
CANCEL_GRACE_MS = 5_000  # from SIGTERM to SIGKILL, where nobody said otherwise
FINISHED_LIMIT = 20_000  # of a heartbeat; what is left out is told by a later one

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Queue = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Short = Annotated[str, StringConstraints(max_length=200)]
Text = Annotated[str, StringConstraints(max_length=8192)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
# What a database's column holds, and every reader of JSON.
Whole32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
One = Annotated[int, Field(ge=1, le=1)]  # as a Literal it would take 1.0 and true as well


class Message(BaseModel):
    # Strict: "2", 2.0 or "no" are neither counts nor flags. In JSON times, enums, bytes are text.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )

    most_values: ClassVar[int | None] = None
    """How many values the JSON of one that a worker sends may hold; None where nobody hostile
    sends it."""


class FromCoordinator(Message):
    """What a worker is answered. A newer coordinator may say more than this worker knows."""

    model_config = ConfigDict(extra="ignore")


class Outcome(StrEnum):
    """How an attempt ended, as a worker reports it; a closed set."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"


class Dispatch(Message):
    """A doorbell: which attempt waits. It carries no parameters and gives no right by itself."""

    v: One = VERSION
    team: Name
    run: Id
    step: Name
    attempt: Id
    fence: Count
    dispatch_no: Count
    queue: Queue


class Register(Message):
    """A worker's boot announces itself; older boots of the same worker are superseded.

    `team` is the one that the worker was told to be of, if any: the token must be of it.
    """

    most_values = 1000

    worker: Id
    boot: Id
    team: Name | None = None
    classes: Annotated[list[Name], Field(min_length=1, max_length=64)]
    slots: Annotated[int, Field(ge=1, le=10_000)]
    hostname: Short
    machine_boot: Short
    version: Short


class Registered(FromCoordinator):
    team: Name
    lease_ms: Count
    heartbeat_ms: Count
    server_now: AwareDatetime


class Claim(Message):
    attempt: Id
    fence: Count
    dispatch_no: Count
    queue: Queue


class ClaimBatch(Message):
    most_values = 10_000

    worker: Id
    boot: Id
    claims: Annotated[list[Claim], Field(min_length=1, max_length=1000), FailFast()]


class LostReason(StrEnum):
    RUNNING = "running"
    TERMINAL = "terminal"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class ArtifactRef(Message):
    """A stored file: its path as the step knew it, its content's digest and size in bytes."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    sha256: Sha256
    size: Count


class SecretUse(Message):
    """Where a step's body refers to a secret: the path to a text, and where `secret://NAME` begins
    in it. What merely looks like a reference elsewhere is text."""

    name: Name
    at: Annotated[list[str | int], Field(min_length=2, max_length=100)]
    start: Count


class Work(Message):
    """A claimed attempt's resolved step: everything a worker needs to perform it but the secrets.

    `body` is the step's canonical definition with every `${{ }}` resolved: exactly one of
    `run`, `python`, `http`, and `env`, `with`, `outputs`, `artifacts`, `workdir`, `interpreter`.
    """

    run: Id
    pipeline: Name
    team: Name
    step: Name
    no: Count
    kind: Name
    body: dict[str, Any]
    digest: Short
    code: str | None = None
    timeout_ms: Count | None = None
    inputs: dict[str, list[ArtifactRef]] = {}
    secrets: list[SecretUse] = []


class StepError(Message):
    """Why an attempt did not succeed: a stable code, a sentence, and what helps to find it."""

    code: Name
    message: Text
    detail: Annotated[str, StringConstraints(max_length=65_536)] | None = None


class ClaimAnswer(FromCoordinator):
    """Won: `work`, `token` and the lease. Lost: `reason`, and the worker drops the message.

    `secrets` are the values that `work` refers to, by name: they are in this answer and nowhere
    else, and no error or representation of it may show them. `failure`: the step cannot be
    performed, and this is why; the worker reports it.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    attempt: Id
    fence: Count
    won: bool
    reason: LostReason | None = None
    work: Work | None = None
    token: str | None = None
    secrets: dict[str, str] = Field(default={}, repr=False)
    failure: StepError | None = None


class ClaimAnswers(FromCoordinator):
    model_config = ConfigDict(hide_input_in_errors=True)

    lease_ms: Count
    claims: list[ClaimAnswer]


class Held(Message):
    attempt: Id
    fence: Count


class Heartbeat(Message):
    """Every 3 s, one a worker. `finished` lists what ended but is not acknowledged yet."""

    most_values = 150_000

    worker: Id
    boot: Id
    slots: Count
    slots_free: Count
    draining: bool = False
    running: Annotated[list[Held], Field(max_length=10_000), FailFast()] = []
    finished: Annotated[list[Held], Field(max_length=FINISHED_LIMIT), FailFast()] = []
    reaped: Annotated[list[Held], Field(max_length=10_000), FailFast()] = []


class HeartbeatAnswer(FromCoordinator):
    """`superseded`: another boot of this worker registered; kill the steps and exit.

    `grace_ms`: how long those of `cancel` have to end by themselves that have not the usual time.
    `unheard`: queues of the team in which steps wait for long, although this worker has free slots.
    """

    superseded: bool = False
    lease_ms: Count
    renewed: list[Id] = []
    lost: list[Id] = []
    cancel: list[Id] = []
    grace_ms: dict[Id, Count] = {}
    acknowledged: list[Id] = []
    resend: list[Id] = []
    unheard: list[Queue] = []


def _of_size(outputs: dict[str, Any]) -> dict[str, Any]:
    if outputs and len(to_json(outputs, inf_nan_mode="constants")) > OUTPUTS_LIMIT_BYTES:
        raise ValueError(f"the outputs take more than {OUTPUTS_LIMIT_BYTES} bytes as JSON")
    return outputs


def _held(outputs: dict[str, Any]) -> dict[str, Any]:
    """Workers fail a step for such numbers. Of one that does not, the end of the step counts."""
    return with_held_numbers(outputs) if unheld_number(outputs) is not None else outputs


def _in_utc(moment: datetime) -> datetime:
    """PostgreSQL knows no offsets of 16 hours and more; none is needed here."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Completion(Message):
    """How an attempt ended. Sent sealed (see `Sealed`), at least once."""

    most_values = OUTPUTS_LIMIT_BYTES  # in outputs each takes a byte or more

    v: One = VERSION
    attempt: Id
    fence: Count
    run: Id
    step: Name
    worker: Id
    boot: Id
    seq: Count
    outcome: Outcome
    reason: Short | None = None
    exit_code: Whole32 | None = None
    error: StepError | None = None
    outputs: Annotated[dict[str, Any], AfterValidator(_of_size), AfterValidator(_held)] = {}
    artifacts: Annotated[list[ArtifactRef], Field(max_length=1000), FailFast()] = []
    started_at: Moment
    finished_at: Moment
    log_bytes: Count = 0


class Sealed(Message):
    """A completion as it travels: the exact JSON text, and its MAC under the completion token."""

    body: Annotated[str, StringConstraints(max_length=COMPLETION_LIMIT_BYTES)]
    mac: Sha256


class CompletionBatch(Message):
    most_values = 10_000

    completions: Annotated[list[Sealed], Field(min_length=1, max_length=1000), FailFast()]


class Received(FromCoordinator):
    """Ids accepted (or already known), and those refused with the reason; neither is sent again."""

    accepted: list[Id] = []
    refused: dict[str, str] = {}


class LogChunk(Message):
    """Bytes of an attempt's log at `offset`; the same offset again is a no-op."""

    attempt: Id
    fence: Count
    offset: Count
    data: bytes  # base64 in JSON


class LogBatch(Message):
    most_values = 10_000

    worker: Id
    boot: Id
    chunks: Annotated[list[LogChunk], Field(min_length=1, max_length=1000), FailFast()]


class Nudge(Message):
    """Wakes the leader: 1, the inbox has something; 2, an event is undecided, or triggers changed.

    Losing it costs one poll.
    """

    nudge: Annotated[int, Field(ge=1, le=2)] = 1


M = TypeVar("M", bound=Message)


class MessageError(ValueError):
    """A message that is too large, no JSON, or of the wrong shape."""


def parse(model: type[M], raw: bytes | str, *, limit: int = REQUEST_LIMIT_BYTES) -> M:
    """Return the message that `raw` holds.

    Raises:
        MessageError: it is over `limit` bytes, no JSON, or not of the model's shape.
    """
    if len(raw) > limit:
        raise MessageError(f"{model.__name__} of {len(raw)} bytes is over the {limit} allowed")
    try:
        if model.most_values is not None:
            _demand_bounded(model, raw, model.most_values)
        return model.model_validate_json(raw)
    except MessageError:
        raise
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not a {model.__name__}: {str(error)[:500]}") from error


def _demand_bounded(model: type[M], raw: bytes | str, most: int) -> None:
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if values_in(data, most) > most:
        raise MessageError(f"{model.__name__} of more than {most:,} values")
    if is_flooded(data, _FREE):
        raise MessageError(f"{model.__name__} with an object of too many keys")


_FREE = frozenset({"outputs"})
