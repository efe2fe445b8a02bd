"""What an engine's container is given of the machine: a GPU by CDI, variables, limits, labels; and a GPU that goes.

There is no GPU here. A CDI specification of this test's own stands for the toolkit's: it brings a program `nvidia-smi`
into the container, as the real one does, and the test decides what that says.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.adapters.docker import container_exec
from stackctl.adapters.docker.compose_runtime import ComposeRuntime
from stackctl.core.stack.names import COMPOSE_FILE, GPU_OVERLAYS
from tests.docker.required import give_up
from tests.docker.sites import MakeSite, Site, build_environment

pytestmark = pytest.mark.docker

SPECIFICATIONS = Path("/var/run/cdi")
SERVICE = "inference-chat"
LOST = "Failed to initialize NVML: Unknown Error"
DEADLINE_S = 60.0
MIB = 1 << 20


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A device ``nvidia.com/gpu=all`` for the engine; the folder in which the file ``lost`` takes it away."""
    folder = tmp_path / "device"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n[ ! -e /device/lost ] || {{ echo '{LOST}'; exit 255; }}\necho 'GPU 0: a card'\n")
    program.chmod(0o755)
    mounts = [
        {"hostPath": str(host), "containerPath": inside, "options": ["ro", "bind"]}
        for host, inside in ((program, "/usr/bin/nvidia-smi"), (folder, "/device"))
    ]
    edits = {"env": ["GIVEN_BY_CDI=all"], "mounts": mounts}
    specification = {
        "cdiVersion": "0.6.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "all", "containerEdits": edits}],
    }
    file = SPECIFICATIONS / f"stack-test-{tmp_path.name}.json"
    try:
        SPECIFICATIONS.mkdir(exist_ok=True)
        if any("nvidia" in path.read_text() for path in SPECIFICATIONS.glob("*.json")):
            give_up("this machine has CDI devices of its own")
        file.write_text(json.dumps(specification))
    except OSError as error:
        give_up(f"no CDI specification can be written: {error}")
    yield folder
    file.unlink()


@pytest.fixture
def site(make_site: MakeSite) -> Iterator[Site]:
    """A site whose engine is started by Compose alone."""
    site = make_site(
        EMBEDDING_MODEL="none",
        INFERENCE_ENVIRONMENT="NVIDIA_DISABLE_REQUIRE=1",
        INFERENCE_MEMLOCK="8m",
        INFERENCE_SHM_SIZE="128m",
        SELINUX_RELABEL="true",
    )
    yield site
    site.remove()


def start_engine(site: Site, *overlays: str) -> ComposeRuntime:
    """Start the engine's container from the rendered files, as ``up`` does, and nothing else."""
    rendered = site.folder / ".stack" / "rendered"
    site.run_well("render", "--out", str(rendered))
    files = [part for name in (COMPOSE_FILE, *overlays) for part in ("--file", str(rendered / name))]
    argv = ["docker", "compose", "--project-name", site.name, *files, "--env-file", "/dev/null"]
    argv += ["up", "--detach", "--no-deps", SERVICE]
    done = subprocess.run(argv, env=build_environment(site.keys), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ComposeRuntime(site.name, rendered, uses_curl=True)


def run_inside(site: Site, *argv: str) -> str:
    """What a program in the engine's container prints."""
    done = container_exec.run_inside(site.list_containers()[SERVICE], argv)
    assert done.code == 0, done
    return done.stdout


def test_an_engine_gets_the_gpu_by_cdi_and_its_loss_is_found(site: Site, device: Path) -> None:
    runtime = start_engine(site, GPU_OVERLAYS["nvidia-cdi"])
    assert "GIVEN_BY_CDI=all" in run_inside(site, "cat", "/proc/1/environ").split("\0")
    assert runtime.explain_lost_gpu(SERVICE) == ""
    (device / "lost").touch()
    assert runtime.explain_lost_gpu(SERVICE) == LOST


def test_an_engine_without_the_drivers_program_says_nothing_of_its_gpu(site: Site) -> None:
    assert start_engine(site).explain_lost_gpu(SERVICE) == ""


def test_variables_limits_and_labels_reach_the_container(site: Site) -> None:
    start_engine(site)
    container = site.list_containers()[SERVICE]
    assert "NVIDIA_DISABLE_REQUIRE=1" in container.attrs["Config"]["Env"]
    host = container.attrs["HostConfig"]
    assert [bind.rsplit(":", 1)[-1] for bind in host["Binds"]] == ["ro,z"], "the label reaches the engine"
    limits = run_inside(site, "grep", "Max locked memory", "/proc/self/limits")
    assert limits.split()[3:5] == [str(8 * MIB)] * 2
    shared = run_inside(site, "df", "--block-size=1", "--output=size", "/dev/shm")
    assert int(shared.split()[-1]) == 128 * MIB


def test_a_start_is_read_from_its_own_first_line(site: Site) -> None:
    """Of a container that was started again, whatever the start before it wrote."""
    runtime = start_engine(site)
    container = site.list_containers()[SERVICE]
    wait_for_line(runtime)
    first = runtime.list_states()[SERVICE]
    container.restart(timeout=5)
    second = runtime.list_states()[SERVICE]
    assert first.start != second.start
    log = wait_for_line(runtime)
    assert log.count("loading model '") == 1
    assert runtime.read_log(SERVICE, 10_000).count("loading model '") == 2


def wait_for_line(runtime: ComposeRuntime) -> str:
    """The log of the start that runs, once its model is loaded."""
    deadline = time.monotonic() + DEADLINE_S
    while "model loaded" not in (log := runtime.read_start_log(runtime.list_states()[SERVICE])):
        assert time.monotonic() < deadline, log
        time.sleep(0.2)
    return log
