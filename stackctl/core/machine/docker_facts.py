"""What the Docker client and its engine say of themselves, and what stands in the way of the compose runtime. Pure.

In: texts of the docker CLI. Out: ``DockerFacts``, and findings with their next step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from stackctl.core.machine.docker_endpoint import Endpoint, hint_for_docker
from stackctl.core.machine.gpu import parse_version
from stackctl.errors import Finding, Severity

MINIMUM_COMPOSE: Final = (2, 20)


@dataclass(frozen=True, slots=True)
class DockerFacts:
    """What the Docker client and its engine say.

    Attributes:
        server_version: version of the Docker engine; empty when none answers.
        problem: why no Docker engine answers, in the client's words.
        compose_version: version of the Compose plugin; empty when there is none.
        legacy_compose_version: version of a separate ``docker-compose`` 1.x on PATH; empty when there is none.
        endpoint: address at which the Docker engine is looked for.
        runtimes: names of OCI runtimes, ``nvidia`` among them where its toolkit registered one.
        cdi_devices: CDI device names that the Docker engine found, ``nvidia.com/gpu=0``.
    """

    client_version: str = ""
    server_version: str = ""
    problem: str = ""
    compose_version: str = ""
    legacy_compose_version: str = ""
    operating_system: str = ""
    storage_driver: str = ""
    root_dir: str = ""
    runtimes: frozenset[str] = frozenset()
    cdi_devices: tuple[str, ...] = ()
    endpoint: Endpoint = field(default_factory=Endpoint)

    @property
    def is_reachable(self) -> bool:
        """Whether a Docker engine answers."""
        return bool(self.server_version)

    @property
    def has_only_cdi(self) -> bool:
        """Whether NVIDIA GPUs reach containers as CDI devices and in no other way."""
        has_devices = any(device.startswith("nvidia.com/gpu=") for device in self.cdi_devices)
        return has_devices and "nvidia" not in self.runtimes

    def gives_by_cdi(self, access: str) -> bool:
        """Whether containers get NVIDIA GPUs as CDI devices.

        Args:
            access: value of ``GPU_ACCESS``.
        """
        return access == "cdi" or (access == "auto" and self.has_only_cdi)

    @property
    def is_desktop(self) -> bool:
        """Whether this is Docker Desktop, whose engine is in a virtual machine of its own."""
        return "docker desktop" in self.operating_system.lower()

    @property
    def has_usable_compose(self) -> bool:
        """Whether ``docker compose`` is there and new enough."""
        return parse_version(self.compose_version) >= MINIMUM_COMPOSE


def parse_docker_info(stdout: str, stderr: str = "") -> DockerFacts:
    """Read the answer to ``docker info --format '{{json .}}'``; without an engine it has the client's half only."""
    try:
        data: Any = json.loads(stdout or "{}")
    except ValueError:
        data = {}
    data = data if isinstance(data, dict) else {}
    errors = [str(error) for error in data.get("ServerErrors") or []]
    said = stderr.strip().splitlines()
    server = str(data.get("ServerVersion") or "")
    devices = data.get("DiscoveredDevices") or []
    return DockerFacts(
        client_version=str((data.get("ClientInfo") or {}).get("Version") or ""),
        server_version=server,
        problem="" if server else next(iter([*errors, *said]), "no answer from the engine"),
        operating_system=str(data.get("OperatingSystem") or ""),
        storage_driver=str(data.get("Driver") or ""),
        root_dir=str(data.get("DockerRootDir") or ""),
        runtimes=frozenset(data.get("Runtimes") or {}),
        cdi_devices=tuple(str(item.get("ID")) for item in devices if item.get("Source") == "cdi"),
    )


def explain_no_compose(docker: DockerFacts | None) -> str:
    """Why containers cannot be run with Compose, one clause; empty when they can."""
    if docker is None:
        return "there is no docker command"
    if not docker.is_reachable:
        place = f" at {docker.endpoint.render_text()}" if docker.endpoint.source else ""
        return f"no Docker engine answers{place}: {docker.problem or 'no reason given'}"
    if not docker.compose_version:
        legacy = docker.legacy_compose_version
        seen = f"only docker-compose {legacy} is installed" if legacy else "there is no Compose plugin"
        return f"{seen}, and Compose 2.20 or newer is needed"
    if not docker.has_usable_compose:
        return f"Compose {docker.compose_version} is too old, 2.20 or newer is needed"
    return ""


def explain_docker_fix(docker: DockerFacts | None) -> str:
    """The next step where ``explain_no_compose`` has something to say."""
    if docker is None:
        return "install Docker Engine with its Compose plugin, or set STACK_RUNTIME=process"
    if docker.is_reachable:
        return "install the docker-compose-plugin package (Compose 2.20 or newer), or set STACK_RUNTIME=process"
    return hint_for_docker(docker.endpoint, docker.problem)


def check_docker(docker: DockerFacts | None) -> tuple[Finding, ...]:
    """A warning where Docker is meant to be used and this user may not use it, or its address leads nowhere.

    A Docker that is merely not started is no reason to warn of a stack that runs without it.
    """
    if docker is None or docker.is_reachable:
        return ()
    problem, hint = explain_no_compose(docker), explain_docker_fix(docker)
    is_elsewhere = docker.endpoint.source and not docker.endpoint.is_local_context
    is_meant = is_elsewhere or "permission denied" in docker.problem.lower()
    return (Finding("Docker", problem, hint, Severity.WARNING),) if is_meant else ()
