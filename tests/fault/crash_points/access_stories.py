"""Stories of teams, tokens and secrets; see `stories`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from headway.errors import ConflictError, ForbiddenError
from headway_coordinator.access.cipher import Cipher
from headway_coordinator.raising import make_token
from tests.fault.crash_points.stage import FORMER_KEY, TEAM, Stage
from tests.servers.waiting import wait_until


def adding_a_team(stage: Stage) -> Iterator[None]:
    name = f"team-{len(stage.cluster.storage.access.teams())}"
    stage.wish(lambda: stage.cluster.client.add_team(name))
    yield
    yield
    wait_until(stage.ask, what="the new team")
    assert name in {team["name"] for team in stage.cluster.storage.access.teams()}


def adding_a_token(stage: Stage) -> Iterator[None]:
    def add() -> None:
        stage.cluster.client.create_token(subject="somebody", role="viewer", team=TEAM)

    stage.wish(add)
    yield
    yield


def using_a_new_token(stage: Stage) -> Iterator[None]:
    stage.renew_client()
    yield
    yield


def revoking_a_token(stage: Stage) -> Iterator[None]:
    access = stage.cluster.storage.access
    make_token(stage.cluster.storage, subject="leaver", role="viewer", team=TEAM)
    [token] = [t for t in access.tokens(TEAM) if t.subject == "leaver" and t.revoked_at is None]

    def revoke() -> None:
        # By the request that got no answer it may be revoked already.
        with suppress(ConflictError):
            stage.cluster.client.revoke_token(token.id)

    stage.wish(revoke)
    yield
    yield
    wait_until(stage.ask, what="the end of the token")
    assert all(t.revoked_at for t in access.tokens(TEAM) if t.subject == "leaver")


def setting_a_secret(stage: Stage) -> Iterator[None]:
    """It is set once: the same value again changes nothing."""
    secrets = stage.cluster.storage.secrets
    versions = [each.version for each in secrets.listing([TEAM]) if each.name == "crash"]
    value = f"value-{max(versions, default=0)}"
    stage.wish(lambda: stage.cluster.client.put_secret("crash", value, team=TEAM))
    yield
    yield
    wait_until(stage.ask, what="the secret")
    [after] = [each.version for each in secrets.listing([TEAM]) if each.name == "crash"]
    assert after == max(versions, default=0) + 1


def removing_a_secret(stage: Stage) -> Iterator[None]:
    stage.cluster.storage.secrets.put(
        Cipher(b"any key").seal(TEAM, "leaver", 1, "value", bytes(12)), before=None, actor="test"
    )

    def remove() -> None:
        # By the request that got no answer it may be removed already.
        with suppress(ForbiddenError):
            stage.cluster.client.remove_secret("leaver", team=TEAM)

    stage.wish(remove)
    yield
    yield
    wait_until(stage.ask, what="the end of the secret")
    assert "leaver" not in {each.name for each in stage.cluster.storage.secrets.listing([TEAM])}


def rekeying(stage: Stage) -> Iterator[None]:
    """Two secrets are under the former key; both are under the present one in the end."""
    secrets = stage.cluster.storage.secrets
    former = Cipher(FORMER_KEY.encode())
    names = {"first", "second"}
    for name in names:
        secrets.remove(TEAM, name, actor="test")
        secrets.put(former.seal(TEAM, name, 1, "value", bytes(12)), before=None, actor="test")
    stage.wish(stage.cluster.client.rekey_secrets)
    yield
    yield
    wait_until(stage.ask, what="the secrets under the present key")
    rows = [each for each in secrets.listing([TEAM]) if each.name in names]
    assert len(rows) == 2
    assert former.key_id not in {each.key_id for each in rows}
