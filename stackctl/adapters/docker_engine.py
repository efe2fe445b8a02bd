"""Connect the docker SDK to the engine that the docker CLI uses, so that both always speak of the same containers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stackctl.adapters.commands import run_command
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient

ANSWER_S = 30


def connect_engine(timeout_s: int = ANSWER_S) -> DockerClient:
    """A client of the engine.

    Args:
        timeout_s: how long the engine may stay silent; gigabytes of images take it longer than questions do.

    Raises:
        RuntimeFailure: no engine answers.
    """
    import docker  # 0.2 s of imports that the process runtime and --help do without
    from docker.errors import DockerException

    address = _find_context_address()
    try:
        if address:
            return docker.DockerClient(base_url=address, timeout=timeout_s)
        return docker.from_env(timeout=timeout_s)
    except DockerException as error:
        raise RuntimeFailure(
            f"The Docker engine does not answer: {error}", "start Docker, or set STACK_RUNTIME=process"
        ) from error


def _find_context_address() -> str:
    """Address of the CLI's context: rootless Docker, Docker Desktop and Colima keep their sockets elsewhere.

    Empty where DOCKER_HOST decides, and for addresses that need keys, which the SDK reads from the environment itself.
    """
    if os.environ.get("DOCKER_HOST"):
        return ""
    done = run_command(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], 5.0)
    address = done.stdout.strip()
    return address if done.code == 0 and address.startswith(("unix://", "npipe://")) else ""
