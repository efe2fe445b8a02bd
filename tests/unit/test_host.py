"""Which runtime and which GPU a host is good for, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.gpu import Gpu
from stackctl.core.host import DockerFacts, Host, PortHolder, choose_gpu, choose_runtime
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
