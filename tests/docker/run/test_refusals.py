"""What cannot work is refused with its reason and a next step, and nothing is left of the attempt."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker.sites import IMAGES, Site
from tests.ports import claim_port

pytestmark = pytest.mark.docker
FakeBin = Callable[[str, str], dict[str, str]]

# A machine with one NVIDIA GPU, as its driver's own program tells it.
NVIDIA_SMI = 'case "$*" in *--query-gpu=*) echo "0, GPU-4711, NVIDIA H200, 580.65.06, 143771, 1, 9.0" ;; esac'


def test_an_image_that_cannot_be_had(stopped: Site) -> None:
    image = f"127.0.0.1:{claim_port()}/llama-server:b1"
    stopped.set(INFERENCE_IMAGE=image)
    done = stopped.run("up")
    assert done.code == 5, done.text
    assert f"The image {image} is not here and could not be pulled" in done.stderr
    assert "connection refused" in done.stderr
    assert "INFERENCE_IMAGE" in done.stderr.rpartition("next:")[2]
    assert stopped.list_remains() == []


@pytest.mark.parametrize("setting", ["INFERENCE_IMAGE", "GATEWAY_IMAGE"])
def test_an_image_of_another_program(stopped: Site, setting: str) -> None:
    stopped.set(**{setting: IMAGES["BASE_IMAGE"]})
    done = stopped.run("up")
    assert done.code == 3, done.text
    assert f"{setting}: '{IMAGES['BASE_IMAGE']}' starts" in done.stderr
    assert "was expected" in done.stderr
    assert stopped.list_remains() == []


def test_an_image_for_another_processor(stopped: Site, tmp_path: Path) -> None:
    foreign = "riscv64" if stopped.client.version()["Arch"] != "riscv64" else "amd64"
    name, empty = f"stack-test/foreign-{uuid.uuid4().hex[:8]}:1", tmp_path / "empty.tar"
    with tarfile.open(empty, "w"):
        pass
    entry = 'ENTRYPOINT ["/app/llama-server"]'
    argv = ["docker", "import", "--platform", f"linux/{foreign}", "--change", entry, str(empty), name]
    subprocess.run(argv, check=True, capture_output=True)
    try:
        stopped.set(INFERENCE_IMAGE=name)
        done = stopped.run("up")
    finally:
        stopped.client.images.remove(name, force=True)
    assert done.code == 3, done.text
    assert f"'{name}' is for {foreign}, and this Docker engine runs" in done.stderr
    assert stopped.list_remains() == []


def test_a_gpu_that_is_not_there(stopped: Site) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has an NVIDIA driver")
    done = stopped.run("up", "--gpu", "nvidia")
    assert done.code == 3, done.text
    assert "STACK_GPU=nvidia, but" in done.stderr
    assert "doctor" in done.stderr.rpartition("next:")[2]
    assert stopped.list_remains() == []


def test_a_gpu_that_containers_cannot_be_given(stopped: Site, fake_bin: FakeBin) -> None:
    """The driver is there and Docker knows no way to hand the GPU over: the commonest first failure with a GPU."""
    if "nvidia" in stopped.client.info()["Runtimes"] or shutil.which("nvidia-ctk"):
        pytest.skip("this engine can hand over NVIDIA GPUs")
    done = stopped.run("up", "--gpu", "nvidia", environment=fake_bin("nvidia-smi", NVIDIA_SMI))
    assert done.code == 5, done.text
    assert "could not select device driver" in done.stderr
    assert "NVIDIA Container Toolkit" in done.stderr.rpartition("next:")[2]
    assert stopped.list_remains() == []


def test_a_port_that_another_program_holds(stopped: Site) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", stopped.port))
        holder.listen()
        done = stopped.run("up")
    assert done.code == 3, done.text
    assert f"port {stopped.port} is in use by" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert "API_GATEWAY_PORT" in done.stderr
    assert stopped.list_remains() == []


def test_a_name_that_another_site_has(running: Site, stopped: Site) -> None:
    before = running.list_ids()
    stopped.set(STACK_NAME=running.name)
    done = stopped.run("up")
    assert done.code in (3, 5), done.text
    assert str(running.folder) in done.stderr
    assert "STACK_NAME" in done.stderr
    assert "not running" in stopped.run_well("status").stdout
    # Whoever was refused must not take the other's stack down either.
    stopped.run("down")
    assert running.list_ids() == before
    assert running.load_health()[0] == 0


@pytest.mark.parametrize("version", ["2.19.1", "v2.3.3", ""])
def test_a_compose_that_is_too_old(stopped: Site, fake_bin: FakeBin, version: str) -> None:
    docker = shutil.which("docker")
    answer = (
        f"echo '{version}'; exit 0" if version else "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"
    )
    environment = fake_bin("docker", f'case "$*" in "compose version"*) {answer} ;; esac\nexec {docker} "$@"')
    done = stopped.run("up", "--runtime", "compose", environment=environment)
    assert done.code == 3, done.text
    assert (version or "no Compose plugin") in done.stderr
    assert "2.20" in done.stderr
    assert stopped.list_remains() == []
    doctor = stopped.run("doctor", "--json", environment=environment)
    assert doctor.code == 6
    (finding,) = [item for item in json.loads(doctor.stdout)["findings"] if item["subject"] == "Docker"]
    assert finding["severity"] == "error"
    assert (version or "no Compose plugin") in finding["message"]
    assert "docker-compose-plugin" in finding["hint"]


@pytest.mark.parametrize("command", [("up",), ("doctor",)])
def test_an_engine_s_address_that_leads_nowhere(stopped: Site, command: tuple[str, ...]) -> None:
    address = f"tcp://127.0.0.1:{claim_port()}"
    done = stopped.run(*command, environment={"DOCKER_HOST": address})
    assert done.code in (3, 6), done.text
    assert f"no Docker engine answers at {address} (DOCKER_HOST)" in done.text
    assert "correct DOCKER_HOST" in done.text


def test_a_running_stack_whose_engine_s_address_leads_nowhere(running: Site) -> None:
    address = f"unix:///tmp/stack-test-{uuid.uuid4().hex}.sock"
    for command in ("status", "down"):
        done = running.run(command, environment={"DOCKER_HOST": address})
        assert done.code == 5, done.text
        assert f"No Docker engine answers at {address} (DOCKER_HOST): no such file or directory" in done.stderr
        assert "correct DOCKER_HOST" in done.stderr
    assert running.load_health()[0] == 0
