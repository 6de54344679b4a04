"""`headway doctor`: what is wrong with an installation, and the mend for each.

Every address of the API is asked what it sees; what only this machine can see (its clock, its
disk, servers whose addresses it knows) is looked at here. What nobody could see is told as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import typer

import headway
from headway.cli.arguments import JsonOption
from headway.cli.printing import clean, moment, painted, print_document, rows_of, size
from headway.clock import Clock, SystemClock
from headway.errors import HeadwayError
from headway.findings import Finding, Status, fine, note, read, unknown, worst, wrong
from headway.folders import look_at

GROUP = "headway.doctor"
UNREACHABLE = 3
_MOST_SKEW_S = 5.0
_LEAST_FREE_BYTES = 1 << 30
_SIGNS = {Status.FINE: "✓", Status.NOTE: "·", Status.UNKNOWN: "?", Status.WRONG: "✕"}
_COLOURS = {Status.FINE: "32", Status.UNKNOWN: "33", Status.WRONG: "31"}


def register(app: typer.Typer) -> None:
    app.command("doctor", help="Say what is wrong with the installation, and the mend.")(doctor)


def doctor(json: JsonOption = False) -> int:
    """Say what is wrong with the installation, and the mend."""
    seen = examine(SystemClock())
    if json:
        print_document(seen.document())
    else:
        seen.print()
    return seen.exit_status


@dataclass
class Seen:
    """All findings, each with where it was seen from; and whether anybody answered."""

    findings: list[tuple[str, Finding]] = field(default_factory=list)
    answered: bool = False

    def add(self, where: str, findings: Iterable[Finding]) -> None:
        self.findings += [(where, finding) for finding in findings]

    @property
    def exit_status(self) -> int:
        if not self.answered:
            return UNREACHABLE
        return 1 if self._worst() is Status.WRONG else 0

    def document(self) -> dict[str, Any]:
        verdict = str(self._worst()) if self.answered else "unreachable"
        rows = [{**finding.as_dict(), "where": where} for where, finding in self.findings]
        return {"verdict": verdict, "findings": rows}

    def print(self) -> None:
        width = max((len(finding.check) for _, finding in self.findings), default=0)
        for where in dict.fromkeys(where for where, _ in self.findings):
            print(f"As seen from {clean(where)}:")
            for _, finding in (each for each in self.findings if each[0] == where):
                _print_finding(finding, width)
            print()
        print(self._summary())

    def _worst(self) -> Status:
        return worst(finding for _, finding in self.findings)

    def _summary(self) -> str:
        counts = dict.fromkeys(Status, 0)
        for _, finding in self.findings:
            counts[finding.status] += 1
        told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        if not self.answered:
            return f"No coordinator answers ({told})."
        match self._worst():
            case Status.WRONG:
                return f"Something is wrong: {told}."
            case Status.UNKNOWN:
                return f"Nothing is wrong as far as can be seen: {told}."
            case _:
                return f"All is well: {told}."


def _print_finding(finding: Finding, width: int) -> None:
    subject = f"{finding.subject}: " if finding.subject else ""
    sign = painted(_SIGNS[finding.status], _COLOURS.get(finding.status))
    print(f"  {sign} {finding.check.ljust(width)}  {clean(subject + finding.message)}")
    if finding.mend:
        print(f"    {' ' * width}  → {clean(finding.mend)}")


# --- what is looked at -------------------------------------------------------------------------


def examine(clock: Clock) -> Seen:
    """Ask every address, then look around here."""
    from headway.settings import ClientSettings, connection

    settings, seen = ClientSettings(), Seen()
    urls, token = connection(settings)
    answers: dict[str, Mapping[str, Any]] = {}
    for url in urls:
        found, answer = _ask(url, token, clock)
        seen.add(url, found)
        if answer is not None:
            answers[url] = answer
    seen.answered = bool(answers)
    for url, answer in list(answers.items())[:1]:
        seen.add(url, _findings(answer, "findings"))  # one database tells them all the same
    seen.add("this machine", _here(settings, answers))
    return seen


def _ask(
    url: str, token: str | None, clock: Clock
) -> tuple[list[Finding], Mapping[str, Any] | None]:
    from headway.client import Client

    before = clock.now()
    try:
        with Client([url], token) as client:
            answer = client.diagnosis()
    except HeadwayError as error:
        mend = error.hint or "look at the coordinator's log"
        return [wrong("api.reachable", error.message, mend)], None
    found = [
        fine("api.reachable", "it answers"),
        _version(answer),
        _skew(answer, before.timestamp(), clock.now().timestamp()),
    ]
    if answer.get("servers") is None:
        mend = "ask with a token of the whole installation"
        why = "this token's scope does not reach the database and the broker"
        return [*found, unknown("servers", why, mend)], answer
    return [*found, *_findings(answer, "servers")], answer


def _findings(answer: Mapping[str, Any], name: str) -> Iterator[Finding]:
    for row in rows_of(answer, name):
        try:
            yield read(row)
        except ValueError:
            yield unknown(name, "a finding that this version cannot read", "use one version")


def _version(answer: Mapping[str, Any]) -> Finding:
    theirs, ours = str(answer.get("version")), headway.__version__
    if theirs != ours:
        message = f"it has version {theirs}, this command {ours}"
        return note("api.version", message, "install the same version on both sides")
    return fine("api.version", f"it has version {theirs}, like this command")


def _skew(answer: Mapping[str, Any], before: float, after: float) -> Finding:
    """Their clock was read between our two readings, so a slow answer accuses nobody."""
    check, theirs = "clock.here", moment(answer.get("at"))
    if theirs is None:
        return unknown(check, "it does not tell its time", "use one version on both sides")
    apart = max(0.0, before - theirs.timestamp(), theirs.timestamp() - after)
    if apart > _MOST_SKEW_S:
        message = f"its clock and this machine's are {apart:.0f} s apart: times in logs mislead"
        return wrong(check, message, "synchronise the machines' clocks (NTP)")
    return fine(check, f"its clock and this machine's agree within {_MOST_SKEW_S:.0f} s")


def _here(settings: Any, answers: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what this machine's own environment lets us see, and what the answers say together."""
    key: str | None = None
    for point in entry_points(group=GROUP):
        try:
            found, key = point.load()()
        except ModuleNotFoundError as error:
            why = f"`{error.name}` is not installed here, so only the API's word is told"
            yield note("servers", why, "install the extra: pip install 'headway[coordinator]'")
            continue
        yield from found
    yield _shared_key({url: answer.get("key") for url, answer in answers.items()}, key)
    versions = {str(answer.get("version")) for answer in answers.values()}
    if len(versions) > 1:
        message = f"coordinators of several versions run: {', '.join(sorted(versions))}"
        yield wrong("api.versions", message, "finish the upgrade: one version at a time")
    if "state_dir" in settings.model_fields_set:
        yield _state_folder(settings.state_dir)


def _shared_key(keys: Mapping[str, Any], own: str | None) -> Finding:
    """Workers prove their reports by it: with two keys, coordinators refuse each other's."""
    check = "secret_key"
    told = {where: key for where, key in keys.items() if isinstance(key, str)}
    if own is not None:
        told["this machine"] = own
    if len(set(told.values())) > 1:
        message = f"the secret keys differ: {', '.join(f'{w} {k}' for w, k in told.items())}"
        mend = "set the same HEADWAY_SECRET_KEY on all coordinators; docs/operations.md says when"
        return wrong(check, message, mend)
    if len(told) < 2:
        message = "fewer than two coordinators told us theirs, so nothing could be compared"
        mend = "name every coordinator in HEADWAY_API_URL, and ask as the installation's admin"
        return unknown(check, message, mend)
    return fine(check, f"it is the same at {', '.join(told)}")


def _state_folder(path: Any) -> Finding:
    check = "state_dir"
    try:
        folder = look_at(path)
    except OSError as error:
        message = f"HEADWAY_STATE_DIR: {path}: {error.strerror or error}"
        return wrong(check, message, "make the folder, or name another one")
    if not folder.writable:
        return wrong(check, f"{path} is not writable", "let this user write there")
    if folder.in_memory:
        message = f"{path} is in memory ({folder.filesystem}): a restart loses unsent reports"
        return wrong(check, message, "name a folder on a disk")
    room = f"{size(folder.free_bytes)} of {size(folder.total_bytes)} are free"
    if folder.free_bytes < _LEAST_FREE_BYTES:
        return wrong(check, f"{path}: only {room}", "make room: a full disk stops workers")
    return fine(check, f"{path}: {room}")
