"""From ``up`` through an edit to ``down``, and what an interrupted or impossible start leaves: nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docker.commands import COMMAND_DEADLINE_S
from tests.docker.sites import IMAGES, Site, build_environment
from tests.ports import claim_port
from tests.waiting import wait_for

pytestmark = pytest.mark.docker


def test_an_edit_recreates_what_it_changes_and_down_leaves_nothing(stopped: Site) -> None:
    site = stopped
    site.run_well("up")
    first = site.list_ids()
    assert set(first) == {"api-gateway", "ingress", "inference-chat"}

    site.set(INFERENCE_THREADS="2")
    site.run_well("up")
    second = site.list_ids()
    assert second["api-gateway"] == first["api-gateway"]
    assert second["inference-chat"] != first["inference-chat"]

    # A model more is a container more, and a gateway that knows it; the engine there was is not touched.
    site.set(EMBEDDING_MODEL="")
    site.run_well("up")
    third = site.list_ids()
    assert set(third) == {"api-gateway", "ingress", "inference-chat", "inference-embed"}
    assert third["inference-chat"] == second["inference-chat"]
    assert third["api-gateway"] != second["api-gateway"]
    assert first["ingress"] == second["ingress"] == third["ingress"]

    site.run_well("down")
    assert site.list_remains() == []
    assert "not running" in site.run_well("status").stdout
    assert "not running" in site.run_well("down").text
    # Images stay: the next start must not fetch or build them again.
    assert site.client.images.get(site.values["GATEWAY_IMAGE"])
    assert site.client.images.get(site.values["INFERENCE_IMAGE"])


def begin_up(site: Site) -> subprocess.Popen[str]:
    """An ``up`` that is to be interrupted."""
    return subprocess.Popen(
        site.build_argv("up"), env=build_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_an_interrupted_up_leaves_nothing(stopped: Site) -> None:
    starting = begin_up(stopped)
    wait_for(
        lambda: starting.poll() is not None or "running" in {c.status for c in stopped.list_containers().values()},
        "a container runs",
    )
    starting.send_signal(signal.SIGINT)
    _, said = starting.communicate(timeout=COMMAND_DEADLINE_S)
    assert starting.returncode == 130, said
    assert "interrupted" in said
    assert stopped.list_remains() == []
    assert "not running" in stopped.run_well("status").stdout


def test_ctrl_c_again_and_again_leaves_nothing(stopped: Site) -> None:
    starting = begin_up(stopped)
    wait_for(lambda: starting.poll() is not None or stopped.list_containers(), "a container is made")

    def interrupt() -> bool:
        starting.send_signal(signal.SIGINT)
        return starting.poll() is not None

    wait_for(interrupt, "the end")
    _, said = starting.communicate(timeout=COMMAND_DEADLINE_S)
    assert starting.returncode == 130, said
    assert stopped.list_remains() == []
    assert "not running" in stopped.run_well("down").stdout


def test_a_site_that_moves_while_it_runs_goes_on_where_it_is(stopped: Site, tmp_path: Path) -> None:
    stopped.run_well("up")
    before = stopped.list_ids()
    moved = replace(stopped, folder=Path(shutil.move(stopped.folder, tmp_path / "moved")))
    try:
        assert f"moved here from {stopped.folder}" in moved.run_well("status").stderr
        assert f"moved here from {stopped.folder}" in moved.run_well("up").stderr
        assert not set(before.values()) & set(moved.list_ids().values())
        assert moved.run_well("down").stdout.startswith("The stack is down")
        assert moved.list_remains() == []
    finally:
        shutil.move(moved.folder, stopped.folder)


def test_containers_without_a_state_are_told_of_and_ended(stopped: Site) -> None:
    stopped.run_well("up")
    (stopped.folder / ".stack" / "state.json").unlink()
    assert "left processes behind" in stopped.run_well("status").stderr
    assert "is down" in stopped.run_well("down").stdout
    assert stopped.list_remains() == []


def test_a_start_that_does_not_get_healthy_leaves_nothing(stopped: Site) -> None:
    silent = '{services: {api-gateway: {entrypoint: ["/opt/venv/bin/python", "-c", "import time; time.sleep(600)"]}}}'
    (stopped.folder / "compose.override.yml").write_text(silent, encoding="utf-8")
    done = stopped.run("up", "--wait-timeout", "3")
    assert done.code == 6, done.text
    assert "Not ready within 3 s" in done.stderr
    assert "--wait-timeout" in done.stderr
    assert stopped.list_remains() == []


def test_an_engine_over_its_memory_limit_is_named_with_the_reason(stopped: Site) -> None:
    stopped.set(INFERENCE_MEMORY_LIMIT="16m")
    done = stopped.run("up")
    assert done.code == 6, done.text
    assert "does not stay up" in done.stderr
    assert "killed at its memory limit" in done.stderr
    assert stopped.list_remains() == []


def test_auto_falls_back_to_processes_when_an_image_cannot_be_had(stopped: Site) -> None:
    """Nothing listens at the registry's port, so the pull is refused at once and no packet leaves this machine."""
    image = f"127.0.0.1:{claim_port()}/llama-server:b1"
    stopped.set(STACK_RUNTIME="auto", INFERENCE_IMAGE=image, INFERENCE_PORT=claim_port())
    try:
        done = stopped.run_well("up")
        assert "in the process runtime" in done.stdout
        assert f"The image {image} is not here and could not be pulled" in done.stderr
        assert "connection refused" in done.stderr
        assert stopped.list_remains() == []
        assert stopped.run_well("chat", "ping").stdout.strip() == "pong"
        # Containers still cannot be had, and it runs: a second 'up' stays where the stack is.
        assert "nothing had to change" in stopped.run_well("up").stdout
    finally:
        stopped.run_well("down")


def test_a_build_that_fails_shows_its_step_and_its_last_lines_and_keeps_all_of_them(stopped: Site) -> None:
    """No package index listens there, so pip cannot install the gateway's lock.

    The base has a name of this test's own: the gateway's image on the usual one is there, for every stack here.
    """
    index = f"https://127.0.0.1:{claim_port()}/simple"
    base = f"{stopped.name}/base:1"
    stopped.client.images.get(IMAGES["BASE_IMAGE"]).tag(base)
    stopped.set(GATEWAY_IMAGE="", BASE_IMAGE=base, PIP_INDEX_URL=index)
    try:
        check_failed_build(stopped)
    finally:
        stopped.client.images.remove(base)


def check_failed_build(stopped: Site) -> None:
    done = stopped.run("up")
    assert done.code == 5, done.text
    assert "could not be built: step '[build 3/5] RUN" in done.stderr
    assert "ERROR: No matching distribution found" in done.stderr
    log = stopped.folder / ".stack" / "logs" / "build-api-gateway.log"
    assert str(log) in done.stderr.rpartition("next:")[2]
    assert "Connection refused" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    stopped.set(STACK_RUNTIME="auto", INFERENCE_PORT=claim_port())
    try:
        fallback = stopped.run_well("up")
        assert "in the process runtime" in fallback.stdout
        assert "ERROR: No matching distribution found" in fallback.stderr
        assert str(log) in fallback.stderr
    finally:
        stopped.run("down")
