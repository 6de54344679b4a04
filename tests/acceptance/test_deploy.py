"""The deployment that the repository brings: its files, and everything in it as plain processes."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from headway.expressions.durations import parse_duration
from tests.acceptance.compose import (
    FILE,
    IMAGE,
    ROOT,
    MissingVariableError,
    Plain,
    mounts,
    ours,
    read,
    seconds,
    wait_output,
)
from tests.servers.processes import Processes
from tests.servers.waiting import wait_until

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
MAKE_ENV = ROOT / "deploy" / "docker" / "make-env"
SECRETS = {
    "HEADWAY_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "POSTGRES_PASSWORD": "postgres-password",
    "REDIS_PASSWORD": "redis-password",
    "FLOWER_PASSWORD": "flower-password",
}
LASTING = ("coordinator-1", "coordinator-2", "worker-demo", "worker-analytics", "flower")
SUMS = """\
headway: 1
pipeline: sums
team: analytics
owner: sums@example.com
steps:
  one: {run: "echo n=1 >> $HEADWAY_OUTPUT", class: small, outputs: {n: int}}
  two: {needs: [one], run: 'test "$N" = 1', env: {N: "${{ steps.one.outputs.n }}"}, class: large}
"""


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = read(SECRETS)["services"]
    return found


# --- the compose file --------------------------------------------------------------------------


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    """Check a file against the Compose specification's own schema."""
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*argv, str(file)], capture_output=True, text=True, check=False)


def test_it_is_a_compose_file(tmp_path: Path, services: dict[str, Any]) -> None:
    checked = check_schema(FILE)
    assert checked.returncode == 0, checked.stdout
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(yaml.safe_dump({"services": {**services, "redis": {"imagine": "redis"}}}))
    assert "imagine" in check_schema(wrong).stdout


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_nothing_starts_without_a_secret(name: str) -> None:
    with pytest.raises(MissingVariableError, match=f"{name}: .*deploy/docker/make-env"):
        read({key: value for key, value in SECRETS.items() if key != name})


def test_no_secret_is_written_into_it() -> None:
    text = FILE.read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == SECRETS.keys()
    given = re.findall(r"^ +\w*(?:PASSWORD|KEY|AUTH)\w*: (.*)$", text, flags=re.MULTILINE)
    assert len(given) == 4
    assert all("${" in value for value in given)


def test_what_lasts_is_watched_started_again_and_given_time_to_end(
    services: dict[str, Any],
) -> None:
    lasting = {name: each for name, each in services.items() if each.get("restart") != "no"}
    lasting.pop("headway")
    assert {*LASTING, "postgres", "redis", "prometheus"} == lasting.keys()
    for name, each in lasting.items():
        assert each["restart"] == "unless-stopped", name
        assert each["healthcheck"]["test"], name
        assert seconds(each["stop_grace_period"]) > 10, name


def test_workers_may_drain_before_they_are_killed(services: dict[str, Any]) -> None:
    for name in ("worker-demo", "worker-analytics"):
        drain = services[name]["environment"]["HEADWAY_DRAIN_TIMEOUT"]
        needed = parse_duration(f"{drain}s") + timedelta(seconds=30)
        assert timedelta(seconds=seconds(services[name]["stop_grace_period"])) > needed


def test_ports_are_on_loopback_and_the_database_is_out_of_sight(services: dict[str, Any]) -> None:
    ports = [port for each in services.values() for port in each.get("ports", ())]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)
    sees_database = {n for n, each in services.items() if "database" in each.get("networks", ())}
    assert not {name for name in sees_database if "worker" in name or name == "flower"}
    assert read(SECRETS)["networks"]["database"] == {"internal": True}


def test_a_team_sees_its_own_token_alone(services: dict[str, Any]) -> None:
    for team in ("demo", "analytics"):
        held = {source for source, _ in mounts(services[f"worker-{team}"]) if "token" in source}
        assert held == {f"token-{team}"}


def test_images_are_pinned_and_what_is_ours_gives_up_its_powers(services: dict[str, Any]) -> None:
    for name, each in services.items():
        assert re.fullmatch(r"[\w./-]+:(v?\d[\w.-]*|local)", each["image"]), name
        if each["image"] == IMAGE:
            assert each["cap_drop"] == ["ALL"], name
            assert each["security_opt"] == ["no-new-privileges:true"], name


def test_every_volume_is_declared(services: dict[str, Any]) -> None:
    used = {source for each in services.values() for source, _ in mounts(each)}
    folders = {source for source in used if source.startswith(".")}
    assert used - folders == read(SECRETS)["volumes"].keys()
    assert all((ROOT / folder).exists() for folder in folders)


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    first = subprocess.run([MAKE_ENV, file], capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    text = file.read_text()
    made = dict(re.findall(r"^(\w+)=(\w{32,})$", text, flags=re.MULTILINE))
    assert made.keys() == SECRETS.keys()
    assert len(set(made.values())) == len(SECRETS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = subprocess.run([MAKE_ENV, file], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "left as it is" in again.stderr
    assert file.read_text() == text
    assert [each.name for each in tmp_path.iterdir()] == [".env"]
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


# --- the image ---------------------------------------------------------------------------------


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    binary = Path(sys.executable).parent / "hadolint"
    return subprocess.run([binary, str(file)], capture_output=True, text=True, check=False)


def instructions() -> Iterator[tuple[str, str]]:
    """Yield the Dockerfile's instructions, each with its arguments on one line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line:
            name, _, rest = line.partition(" ")
            yield name, rest


def test_the_dockerfile_has_no_fault(tmp_path: Path) -> None:
    checked = hadolint(DOCKERFILE)
    assert checked.returncode == 0, checked.stdout
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python:latest\nADD https://example.com/x /x\n")
    assert "DL3007" in hadolint(careless).stdout


def test_the_image_is_not_root_and_holds_what_the_lock_names() -> None:
    steps = list(instructions())
    last = max(at for at, (name, _) in enumerate(steps) if name == "FROM")
    assert ("USER", "10001:10001") in steps[last:]
    assert "ADD" not in {name for name, _ in steps}
    bases = [rest.split(" ")[0] for name, rest in steps if name == "FROM"]
    assert len(bases) == 2
    assert set(bases) == {"python:3.11-slim-bookworm"}
    commands = " && ".join(rest for name, rest in steps if name == "RUN").split(" && ")
    installs = [each for each in commands if "pip install" in each]
    assert len(installs) == 4
    from_outside = [each for each in installs if "dist/*.whl" not in each]
    assert len(from_outside) == 3
    assert all("--require-hashes" in each and ".lock" in each for each in from_outside)


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    let_through = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for source in rest.split(" ")[:-1]
    }
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)


# --- everything as plain processes -------------------------------------------------------------


@pytest.fixture
def plain(
    services: dict[str, Any],
    processes: Processes,
    postgres_database: str,
    redis_database: str,
    tmp_path: Path,
) -> Iterator[Plain]:
    servers = {"postgres": postgres_database, "redis": redis_database}
    yield Plain(services, processes, tmp_path, servers)
    processes.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_of_it_starts_in_order_runs_both_teams_and_ends_in_order(
    plain: Plain, tmp_path: Path
) -> None:
    order = ours(plain.services)
    assert set(order) >= set(LASTING)
    for name in order:
        plain.start(name)
    for name in LASTING:
        plain.wait_healthy(name)
    assert plain.services.keys() - set(order) == {"postgres", "redis", "prometheus", "headway"}

    weather = plain.launch("headway", "run", "examples/weather/pipeline.yaml", "--wait")
    assert "succeeded" in wait_output(weather)
    every_target_is_scraped(plain)
    flower_shows_both_teams(plain)

    # One coordinator is enough, and each of them is.
    assert plain.stop("coordinator-1") == 0
    (tmp_path / "sums.yaml").write_text(SUMS)
    sums = plain.launch("headway", "run", str(tmp_path / "sums.yaml"), "--wait")
    assert "succeeded" in wait_output(sums)

    ending = [name for name in reversed(order) if name in LASTING and name != "coordinator-1"]
    assert {name: plain.stop(name) for name in ending} == dict.fromkeys(ending, 0)
    plain.processes.no_leftovers()


def test_a_second_start_keeps_the_tokens(plain: Plain) -> None:
    once = [name for name in ours(plain.services) if name not in LASTING]
    said = []
    for _ in range(2):
        for name in once:
            plain.start(name)
        said.append([wait_output(plain.children[name]) for name in once])
    assert once[0] == "migrate"
    assert all("a new token is in" in each for each in said[0][1:])
    assert all("is kept" in each for each in said[1][1:])
    assert len(said[0]) == 4


def every_target_is_scraped(plain: Plain) -> None:
    """Ask every address in Prometheus's file, and read the answers as Prometheus does."""
    for job, name, port in targets():
        text = httpx2.get(f"http://{plain.address(name, port)}/metrics").text
        families = {family.name for family in text_string_to_metric_families(text)}
        assert [each for each in families if each.startswith("headway_")], (job, name)


def targets() -> Iterator[tuple[str, str, str]]:
    for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]:
        for group in job.get("static_configs", ()):
            for target in group["targets"]:
                yield job["job_name"], *target.split(":")
        for group in job.get("dns_sd_configs", ()):
            for name in group["names"]:
                yield job["job_name"], name, str(group["port"])


def flower_shows_both_teams(plain: Plain) -> None:
    url = f"http://{plain.address('flower', 5555)}/api/workers"
    auth = ("headway", SECRETS["FLOWER_PASSWORD"])

    def queues() -> set[str]:
        shown = httpx2.get(url, auth=auth, params={"refresh": "1"}, timeout=30).json()
        return {q["name"] for w in shown.values() for q in w.get("active_queues") or ()}

    wanted = {f"{team}.{each}" for team in ("demo", "analytics") for each in ("small", "large")}
    wait_until(lambda: wanted <= queues(), what="the queues of both teams in Flower")
    assert httpx2.get(url).status_code == httpx2.codes.UNAUTHORIZED


def test_prometheus_asks_every_service_that_tells() -> None:
    named = {name for _, name, _ in targets()}
    assert named == {name for name in LASTING if name != "flower"}
    jobs = [job for job, _, _ in targets()]
    assert len(jobs) == 6
