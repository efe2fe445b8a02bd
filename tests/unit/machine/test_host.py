"""Which runtime and which GPU a host is good for, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.machine.docker_endpoint import Endpoint
from stackctl.core.machine.docker_facts import DockerFacts, check_docker
from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.host import Host, PortHolder, choose_gpu, choose_runtime
from stackctl.errors import ConfigError

DOCKER = DockerFacts("28.2.2", "28.5.2", compose_version="2.40.3", operating_system="Debian GNU/Linux 12")


def test_auto_takes_compose_only_when_everything_is_there() -> None:
    assert choose_runtime(Host(docker=replace(DOCKER, compose_version="2.20"))).value == "compose"
    assert choose_runtime(Host(docker=DOCKER)).value == "compose"
    assert choose_runtime(Host()).value == "process"
    assert choose_runtime(Host(docker=DOCKER), "process").value == "process"


@pytest.mark.parametrize(
    ("docker", "words"),
    [
        (None, "there is no docker command"),
        (DockerFacts("28", "", problem="permission denied"), "permission denied"),
        (DockerFacts("28", "28.5"), "there is no Compose plugin"),
        (DockerFacts("28", "28.5", legacy_compose_version="1.29.2"), "only docker-compose 1.29.2"),
        (DockerFacts("28", "28.5", compose_version="2.19.1"), "Compose 2.19.1 is too old, 2.20 or newer"),
    ],
)
def test_compose_is_refused_by_name(docker: DockerFacts | None, words: str) -> None:
    host = Host(docker=docker)
    assert words in choose_runtime(host).reason
    with pytest.raises(ConfigError, match="STACK_RUNTIME=compose") as caught:
        choose_runtime(host, "compose")
    assert words in caught.value.message
    assert caught.value.hint


FAR, HOST = Endpoint("far", "tcp://10.0.0.5:2376"), Endpoint("default", "tcp://127.0.0.1:1")
DESKTOP = Endpoint("desktop-linux", "unix:///home/me/.docker/desktop/docker.sock")
USUAL = Endpoint("default", "unix:///var/run/docker.sock")


@pytest.mark.parametrize(
    ("endpoint", "problem", "place", "step", "warns"),
    [
        (HOST, "Cannot connect", "at tcp://127.0.0.1:1 (DOCKER_HOST)", "correct DOCKER_HOST", True),
        (FAR, "Cannot connect", "at tcp://10.0.0.5:2376 (the Docker context 'far')", "docker context use", True),
        (DESKTOP, "Cannot connect", "(the Docker context 'desktop-linux')", "start it (Docker Desktop", False),
        (DESKTOP, "permission denied while trying to connect", "permission denied", "docker group", True),
        (Endpoint(), 'context "x": context not found', "context not found", "docker context use", False),
        (USUAL, "permission denied while trying to connect", "permission denied", "docker group", True),
        (USUAL, "Cannot connect. Is the docker daemon running?", "Cannot connect", "systemctl start docker", False),
    ],
)
def test_where_no_engine_answers_its_address_and_the_next_step_are_named(
    endpoint: Endpoint, problem: str, place: str, step: str, warns: bool
) -> None:
    docker = DockerFacts("28", problem=problem, endpoint=endpoint)
    with pytest.raises(ConfigError) as caught:
        choose_runtime(Host(docker=docker), "compose")
    assert place in caught.value.message
    assert step in caught.value.hint
    assert [step in finding.hint for finding in check_docker(docker)] == ([True] if warns else [])


NVIDIA, AMD, INTEL = Gpu("nvidia", 0, "NVIDIA H200"), Gpu("amd", 0, "Radeon"), Gpu("vulkan", 1, "Arc")


@pytest.mark.parametrize(
    ("host", "wanted", "expected"),
    [
        (Host(gpus=(NVIDIA, AMD)), "auto", "nvidia"),
        (Host(gpus=(AMD,), has_kfd=True), "auto", "amd"),
        (Host(gpus=(AMD,)), "auto", "none"),
        (Host(gpus=(INTEL,)), "auto", "none"),
        (Host(gpus=(INTEL,)), "vulkan", "vulkan"),
        (Host(gpus=(AMD,)), "vulkan", "vulkan"),
        (Host(gpus=(NVIDIA,)), "none", "none"),
        (Host(), "auto", "none"),
    ],
)
def test_which_gpu_is_chosen(host: Host, wanted: str, expected: str) -> None:
    choice = choose_gpu(host, wanted)
    assert choice.value == expected
    assert choice.reason


def test_a_gpu_that_is_not_there_is_an_error_with_the_reason() -> None:
    host = Host(gpu_problem="the NVIDIA driver is installed but not loaded")
    with pytest.raises(ConfigError, match="STACK_GPU=nvidia, but the NVIDIA driver is installed but not loaded"):
        choose_gpu(host, "nvidia")
    assert choose_gpu(host).reason == host.gpu_problem


def test_a_hidden_holder_is_said_to_be_hidden() -> None:
    assert PortHolder().render_text() == "a process that this user cannot see"
