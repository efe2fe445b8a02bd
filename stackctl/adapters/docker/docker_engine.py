"""Connect the docker SDK to the engine that the docker CLI uses, so that both always speak of the same containers.

In: a time limit. Out: a client of the docker SDK. Does I/O: asks the docker CLI for its context, and the engine for its
version.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stackctl.adapters.machine.commands import run_command
from stackctl.core.machine.docker_endpoint import ENDPOINT_QUESTION, Endpoint, hint_for_docker, parse_endpoint
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient

ANSWER_S = 30
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What every Docker engine since 20.10 takes; only the question for the real version is asked with it.
_FIRST_VERSION = "1.41"


def connect_engine(timeout_s: int = ANSWER_S) -> DockerClient:
    """Connect to the Docker engine and give back a client of it.

    Args:
        timeout_s: seconds that the engine may stay silent; gigabytes of images take it longer than questions do.

    Raises:
        RuntimeFailure: no Docker engine answers; names its address.
    """
    from docker.errors import DockerException  # 0.2 s of imports that the process runtime and --help do without
    from requests import RequestException

    endpoint = load_endpoint()
    try:
        first = _open_client(endpoint, _FIRST_VERSION, timeout_s)
        return _open_client(endpoint, first.version(api_version=False)["ApiVersion"], timeout_s)
    except (DockerException, RequestException) as error:
        problem = _find_reason(error)
        raise RuntimeFailure(
            f"No Docker engine answers at {endpoint.render_text()}: {problem}.", hint_for_docker(endpoint, problem)
        ) from error


def load_endpoint() -> Endpoint:
    """Address at which the docker CLI finds its engine; rootless Docker, Docker Desktop and Colima have their own."""
    done = run_command(["docker", *ENDPOINT_QUESTION], 5.0)
    return parse_endpoint(done.stdout if done.code == 0 else "")


def _open_client(endpoint: Endpoint, version: str, timeout_s: int) -> DockerClient:
    import docker

    # DOCKER_HOST, and addresses that need keys, the SDK reads from the environment itself.
    if os.environ.get("DOCKER_HOST") or not endpoint.address.startswith(("unix://", "npipe://")):
        client = docker.from_env(version=version, timeout=timeout_s)
    else:
        client = docker.DockerClient(base_url=endpoint.address, version=version, timeout=timeout_s)
    # The docker CLI asks no proxy for a Docker engine on this machine; requests would.
    client.api.trust_env = urlsplit(client.api.base_url).hostname not in _LOOPBACK
    return client


def _find_reason(error: BaseException) -> str:
    """The operating system's own words for the error, which the libraries wrap several times."""
    seen: BaseException | None = error
    while seen is not None:
        for found in (seen, *seen.args):
            if isinstance(found, OSError) and found.strerror:
                return found.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return str(error)
