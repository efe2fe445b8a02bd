"""Where the docker command looks for its engine, and what to do when none answers there. Pure: text in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ENDPOINT_QUESTION: Final = ("context", "inspect", "--format", "{{.Name}} {{.Endpoints.docker.Host}}")
DEFAULT_ADDRESS: Final = "unix:///var/run/docker.sock"
_DEFAULT_CONTEXT: Final = "default"
_OR_PROCESSES: Final = ", or set STACK_RUNTIME=process"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a Docker engine, and what names it.

    Attributes:
        context: the Docker context; empty when the command line did not say.
        address: address such as ``unix:///var/run/docker.sock``, ``tcp://10.0.0.5:2376``; empty when it is not known.
    """

    context: str = ""
    address: str = ""

    @property
    def source(self) -> str:
        """What names an address that is not the usual one: ``DOCKER_HOST`` or a context; empty for the usual one."""
        if self.address in ("", DEFAULT_ADDRESS):
            return ""
        return "DOCKER_HOST" if self.context == _DEFAULT_CONTEXT else f"the Docker context '{self.context}'"

    @property
    def is_local_context(self) -> bool:
        """Whether a context names a socket of this machine: Docker Desktop's, a rootless engine's."""
        return self.source not in ("", "DOCKER_HOST") and self.address.startswith(("unix://", "npipe://"))

    def render_text(self) -> str:
        """The address, and what names it where that is not Docker itself."""
        return f"{self.address} ({self.source})" if self.source else self.address or DEFAULT_ADDRESS


def parse_endpoint(text: str) -> Endpoint:
    """Read the docker command's answer to ``ENDPOINT_QUESTION``: name and address, separated by a space."""
    context, _, address = text.strip().partition(" ")
    return Endpoint(context, address)


def hint_for_docker(endpoint: Endpoint, problem: str) -> str:
    """The next step where no Docker engine answers.

    Args:
        problem: why none answers, in the words of the docker command or of the operating system.
    """
    if "permission denied" in problem.lower():
        return "add yourself to the docker group ('sudo usermod -aG docker $USER') and log in again" + _OR_PROCESSES
    if endpoint.source == "DOCKER_HOST":
        return f"correct DOCKER_HOST, or unset it to use this machine's engine{_OR_PROCESSES}"
    if endpoint.is_local_context:
        return f"start it (Docker Desktop, or 'systemctl --user start docker'){_OR_PROCESSES}"
    if endpoint.source or "context not found" in problem:
        return f"choose another context ('docker context use default', or unset DOCKER_CONTEXT){_OR_PROCESSES}"
    return f"start it ('sudo systemctl start docker' or Docker Desktop){_OR_PROCESSES}"
