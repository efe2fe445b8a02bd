"""The preflight on hosts that are healthy, small, half-installed or misconfigured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.machine.host import load_file_facts
from stackctl.core.health.doctor import check_host, has_errors
from stackctl.core.health.doctor_input import DiskNeed, DoctorInput, FileFacts, ImageFacts, PortNeed
from stackctl.core.machine.docker_facts import DockerFacts
from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.host import Choice, DiskSpace, PortHolder
from stackctl.errors import Finding, Severity
from tests.doctor_facts import CARD, DOCKER, GIB, NVIDIA, build_entry, build_host, check, find_line

CUDA12 = ImageFacts.from_name("llama.cpp:server-cuda-b1")
CUDA13 = ImageFacts.from_name("llama.cpp:server-cuda13-b1")


def test_a_healthy_host_has_only_good_news() -> None:
    facts = DoctorInput(
        build_host(disks={"/var/lib/docker": DiskSpace(90 * GIB)}),
        runtime="compose",
        gpu=NVIDIA,
        image=CUDA13,
        ports=(PortNeed("INFERENCE_PORT", 8001), PortNeed("API_GATEWAY_PORT", 8000)),
        models=(build_entry(),),
        disks=(DiskNeed("images", "/var/lib/docker", 10 * GIB),),
        env_file=FileFacts(".env", 0o600),
    )
    findings = check_host(facts)
    assert {finding.severity for finding in findings} == {Severity.OK}
    assert not has_errors(findings)
    text = check(facts)
    assert "Docker 28.5.2, Compose 2.40.3" in text
    assert "RTX 3060, 12.0 of 12.0 GiB free, driver 580.65.06" in text
    assert "free or held by this stack: 8001, 8000" in text


# Docker


@pytest.mark.parametrize(
    ("docker", "wanted", "line"),
    [
        (None, "compose", "error: Docker: there is no docker command"),
        (None, "auto", "ok: runtime: processes on this machine: there is no docker command"),
        (replace(DOCKER, compose_version="2.17.3"), "compose", "error: Docker: Compose 2.17.3 is too old"),
        (replace(DOCKER, compose_version="2.17.3"), "auto", "warning: Docker: Compose 2.17.3 is too old"),
        (
            replace(DOCKER, compose_version="", legacy_compose_version="1.29.2"),
            "compose",
            "error: Docker: only docker-compose 1.29.2 is installed",
        ),
        (replace(DOCKER, legacy_compose_version="1.29.2"), "auto", "warning: Docker: docker-compose 1.29.2 is"),
        (replace(DOCKER, storage_driver="vfs"), "auto", "warning: Docker: the storage driver vfs"),
        (DockerFacts("28", problem="no socket"), "compose", "error: Docker: no Docker engine answers: no socket"),
    ],
)
def test_docker(docker: DockerFacts | None, wanted: str, line: str) -> None:
    find_line(check(DoctorInput(build_host(docker=docker, gpus=()), runtime_wanted=wanted)), line)


def test_docker_is_not_looked_at_when_it_is_not_wanted() -> None:
    text = check(DoctorInput(build_host(docker=None, gpus=()), runtime_wanted="process"))
    assert "Docker is not needed" in text


def test_a_refused_socket_is_a_matter_of_the_group() -> None:
    docker = DockerFacts("28", problem="permission denied while trying to connect")
    assert "docker group" in check(DoctorInput(build_host(docker=docker), runtime_wanted="compose"))


# GPU


def check_card(card: Gpu, image: ImageFacts = CUDA12, access: str = "auto", **changes: object) -> str:
    host = build_host(gpus=(card,), cuda_version=(), **changes)
    return check(DoctorInput(host, runtime="compose", gpu=NVIDIA, image=image, gpu_access=access))


def test_a_driver_too_old_for_the_image() -> None:
    line = find_line(check_card(replace(CARD, driver_version="470.82.01")), "error: GPU 0")
    assert "runs CUDA 11.4 at most; CUDA 12 needs 525.60.13 or newer (llama.cpp:server-cuda-b1)" in line
    line = find_line(check_card(replace(CARD, driver_version="570.10"), CUDA13), "error: GPU 0")
    assert "an image of CUDA 12 (INFERENCE_IMAGE)" in line


def test_a_driver_older_than_the_image_in_the_same_major_version_is_a_warning() -> None:
    line = find_line(check_card(replace(CARD, driver_version="535.183.01")), "warning: GPU 0")
    assert "built with CUDA 12.8, the driver knows 12.2" in line


def test_a_gpu_too_old_for_the_image() -> None:
    line = find_line(check_card(replace(CARD, compute_capability=(6, 1)), CUDA13), "error: GPU 0")
    assert "compute capability 6.1; CUDA 13 images start at 7.5" in line


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({}, "install the nvidia-container-toolkit package"),
        ({"has_nvidia_toolkit": True}, "run 'sudo nvidia-ctk runtime configure"),
        ({"cdi_specs": ("nvidia.yaml",)}, "a CDI specification is there"),
    ],
)
def test_a_missing_toolkit_is_told_in_words(changes: dict[str, Any], hint: str) -> None:
    docker = replace(DOCKER, runtimes=frozenset({"runc"}))
    line = find_line(check_card(CARD, CUDA12, docker=docker, **changes), "error: container toolkit")
    assert 'could not select device driver "nvidia"' in line
    assert f"-> {hint}" in line


@pytest.mark.parametrize(
    "docker",
    [
        replace(DOCKER, runtimes=frozenset(), cdi_devices=("nvidia.com/gpu=all",)),
        replace(DOCKER, runtimes=frozenset(), operating_system="Docker Desktop"),
    ],
)
def test_cdi_and_docker_desktop_need_no_runtime(docker: DockerFacts) -> None:
    assert "container toolkit" not in check_card(CARD, docker=docker)


CDI = ("nvidia.com/gpu=all",)


@pytest.mark.parametrize(
    ("access", "version", "changes", "specs", "told"),
    [
        ("cdi", "28.5.2", {"cdi_devices": CDI}, (), ""),
        ("cdi", "28.5.2", {}, (), "error: GPU_ACCESS: GPU_ACCESS=cdi, and Docker has no CDI device nvidia.com/gpu ->"),
        ("cdi", "28.5.2", {}, ("nvidia.yaml",), "error: GPU_ACCESS: GPU_ACCESS=cdi, and Docker has no CDI device"),
        ("cdi", "27.5.1", {}, ("nvidia.yaml",), "warning: GPU_ACCESS: Docker 27.5.1 does not tell which CDI devices"),
        ("cdi", "27.5.1", {}, (), "error: GPU_ACCESS: GPU_ACCESS=cdi, and Docker has no CDI device nvidia.com/gpu ->"),
        (
            "toolkit",
            "28.5.2",
            {"cdi_devices": CDI, "runtimes": frozenset({"runc"})},
            (),
            "error: GPU_ACCESS: Docker",
        ),
        ("toolkit", "28.5.2", {"cdi_devices": CDI}, (), ""),
        ("auto", "28.5.2", {"cdi_devices": CDI, "runtimes": frozenset({"runc"})}, (), ""),
    ],
)
def test_the_way_to_the_gpu_is_judged_by_the_setting(
    access: str, version: str, changes: dict[str, Any], specs: tuple[str, ...], told: str
) -> None:
    docker = replace(DOCKER, server_version=version, **{"runtimes": frozenset({"runc", "nvidia"}), **changes})
    text = check_card(CARD, docker=docker, access=access, cdi_specs=specs)
    lines = [line for line in text.splitlines() if "GPU_ACCESS" in line or "toolkit:" in line]
    assert len(lines) == bool(told)
    assert all(told in line for line in lines)


def test_a_gpu_that_was_asked_for_and_is_not_there() -> None:
    host = build_host(gpus=(), gpu_problem="the NVIDIA driver is installed but not loaded")
    text = check(DoctorInput(host, gpu_wanted="nvidia"))
    find_line(text, "error: GPU: STACK_GPU=nvidia, but the NVIDIA driver is installed but not loaded")
    line = find_line(check(DoctorInput(host)), "warning: GPU: the CPU computes")
    assert "not loaded" in line


def test_without_any_gpu_the_cpu_is_no_error() -> None:
    facts = DoctorInput(build_host(gpus=()), gpu=Choice("none", "no GPU found"))
    find_line(check(facts), "ok: GPU: no GPU found")


def test_devices_that_do_not_exist_are_named() -> None:
    text = check(DoctorInput(build_host(), gpu=NVIDIA, gpu_devices="3"))
    find_line(text, "error: GPU_DEVICES: '3' names none of this host's GPUs: 0 (RTX 3060)")
    assert "error" not in check(DoctorInput(build_host(), gpu=NVIDIA, gpu_devices="GPU-a"))


def test_amd_needs_kfd_and_not_docker_desktop() -> None:
    card = Gpu("amd", 0, "Radeon", device="/dev/dri/renderD128")
    docker = replace(DOCKER, operating_system="Docker Desktop")
    host = build_host(gpus=(card,), docker=docker)
    text = check(DoctorInput(host, runtime="compose", gpu=Choice("amd", "Radeon")))
    find_line(text, "error: GPU: /dev/kfd is missing")
    find_line(text, "error: GPU: Docker Desktop passes only NVIDIA")


# Ports, disks, files, settings


def test_a_port_in_use_is_named_with_its_holder_and_setting() -> None:
    host = build_host(ports={8000: PortHolder(4711, "nginx"), 8001: PortHolder(5, "llama-server")})
    ports = (PortNeed("API_GATEWAY_PORT", 8000), PortNeed("INFERENCE_PORT", 8001, is_own=True))
    text = check(DoctorInput(host, ports=ports))
    line = find_line(text, "error: API_GATEWAY_PORT")
    assert "port 8000 is in use by nginx (pid 4711) -> stop it (kill 4711) or change API_GATEWAY_PORT" in line
    assert "8001" not in text


def test_a_full_disk() -> None:
    host = build_host(disks={"/data": DiskSpace(2 * GIB)})
    facts = DoctorInput(host, disks=(DiskNeed("environments", "/data", 3 * GIB, "STACK_CACHE_DIR"),))
    line = find_line(check(facts), "error: /data: disk")
    assert "2.0 GiB free for environments, 3.0 GiB expected -> free some space or set STACK_CACHE_DIR" in line


def test_a_folder_that_this_user_may_not_write() -> None:
    host = build_host(
        disks={"/.cache": DiskSpace(9 * GIB, is_writable=False), "/var": DiskSpace(9 * GIB, is_writable=False)}
    )
    needs = (DiskNeed("environments", "/.cache", GIB, access="set XDG_CACHE_HOME"), DiskNeed("images", "/var", GIB))
    text = check(DoctorInput(host, disks=needs))
    line = find_line(text, "error: /.cache: disk")
    assert "this user cannot write environments here -> set XDG_CACHE_HOME" in line
    assert "error: /var" not in text, "Docker's engine writes there, not this user"


def test_an_open_env_file_is_a_warning(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("KEY=1\n")
    env.chmod(0o644)
    line = find_line(check(DoctorInput(build_host(), env_file=load_file_facts(env))), f"warning: {env}: .env")
    assert f"mode 0644, expected 0600) -> chmod 600 '{env}'" in line


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (FileFacts("/ca"), "no such CA bundle"),
        (FileFacts("/ca", 0o644, b"\x30\x82\x03\x01"), "DER"),
        (FileFacts("/ca", 0o644, b"hello"), "no PEM certificate"),
        (FileFacts("/ca", 0o644, b"# Company CA\n-----BEGIN CERTIFICATE-----\n"), ""),
    ],
)
def test_ca_bundle(bundle: FileFacts, words: str) -> None:
    text = check(DoctorInput(build_host(), ca_bundle=bundle))
    assert ("BUILD_CA_BUNDLE" in text) == bool(words)
    assert words in text


def test_findings_about_settings_are_passed_on_first() -> None:
    stale = Finding("OLD_KEY", "is not used any more", "remove it", Severity.WARNING, ".env", 3)
    assert check_host(DoctorInput(build_host(), settings_findings=(stale,)))[0] is stale
