"""A site folder of a test's own and the ``stackctl`` commands on it, run as a user runs them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.models.containers import Container

from stackctl.adapters.docker import container_exec
from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.settings import setting_names
from tests.docker.commands import Done, change_settings, run_to_end

REPOSITORY = Path(__file__).parents[2]
ANSWERS = {
    item["question"]: item["answer"]
    for item in json.loads((REPOSITORY / "models" / "demo.json").read_text(encoding="utf-8"))["answers"]
}

# Images that stand for a registry's, by setting; scripts/test-images.sh makes them.
IMAGES = {
    "BASE_IMAGE": os.environ.get("STACK_TEST_BASE_IMAGE", "stack-test/python:3.11"),
    "BUILD_BASE_IMAGE": os.environ.get("STACK_TEST_BUILD_IMAGE", "stack-test/build:3.11"),
    "INFERENCE_IMAGE": os.environ.get("STACK_TEST_LLAMA_IMAGE", "stack-test/llama-server:test"),
    "CADDY_IMAGE": os.environ.get("STACK_TEST_CADDY_IMAGE", "stack-test/caddy:test"),
}
# Where TLS is intercepted, a build needs this machine's own certificates; elsewhere they do no harm.
_DEBIAN_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_BUNDLE = os.environ.get("BUILD_CA_BUNDLE") or (str(_DEBIAN_BUNDLE) if _DEBIAN_BUNDLE.is_file() else "")

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"


@dataclass(frozen=True, slots=True)
class Site:
    """One site folder.

    Attributes:
        name: its STACK_NAME, so Compose's project name, too.
        port: its API_GATEWAY_PORT.
    """

    folder: Path
    name: str
    port: int
    client: DockerClient

    @property
    def url(self) -> str:
        """Base URL of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def values(self) -> dict[str, str]:
        """What stands in its `.env`."""
        return dict(parse_dotenv((self.folder / ".env").read_text(encoding="utf-8")).values)

    @property
    def keys(self) -> dict[str, str]:
        """The generated keys by setting name."""
        return {name: value for name, value in self.values.items() if name.endswith("_KEY") and value}

    @property
    def filters(self) -> dict[str, str | list[str] | bool]:
        """What makes the engine list only what is this project's."""
        return {"label": f"{PROJECT_LABEL}={self.name}"}

    def set(self, **settings: object) -> None:
        """Change settings in `.env`."""
        change_settings(self.folder, settings)

    def build_argv(self, *arguments: str) -> list[str]:
        """The command line of one ``stackctl`` command."""
        return [sys.executable, "-m", "stackctl", "--site", str(self.folder), *arguments]

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path = REPOSITORY) -> Done:
        """Run a command to its end, whatever its exit code."""
        return run_to_end(self.build_argv(*arguments), build_environment(environment), cwd)

    def run_well(self, *arguments: str) -> Done:
        """Run a command that must succeed."""
        return self.run(*arguments).expect_success()

    def load_health(self, *options: str) -> tuple[int, dict[str, Any]]:
        """Exit code and report of ``stackctl health --json``."""
        done = self.run("health", "--json", *options)
        assert done.stdout, done.text
        return done.code, json.loads(done.stdout)

    def list_containers(self) -> dict[str, Container]:
        """Its containers by service, stopped ones too."""
        found = self.client.containers.list(all=True, filters=self.filters)
        return {item.labels[SERVICE_LABEL]: item for item in found}

    def list_ids(self) -> dict[str, str]:
        """Container ids by service."""
        return {name: str(item.id) for name, item in self.list_containers().items()}

    @property
    def state_volume(self) -> str:
        """Name of the volume with the gateway's keys and usage, which outlives the stack."""
        return f"{self.name}_gateway-state"

    def list_remains(self) -> list[str]:
        """Everything of this project that the engine has, but for what is to stay: containers, networks, volumes."""
        return [
            *(f"container {item.name}" for item in self.client.containers.list(all=True, filters=self.filters)),
            *(f"network {item.name}" for item in self.client.networks.list(filters=self.filters)),
            *(f"volume {name}" for name in self.list_volumes() if name != self.state_volume),
        ]

    def list_volumes(self) -> list[str]:
        """Names of this project's volumes."""
        return [str(item.name) for item in self.client.volumes.list(filters=self.filters)]

    def remove(self) -> None:
        """Remove all of it from the engine, without ``stackctl``; images are the machine's."""
        for container in self.client.containers.list(all=True, filters=self.filters):
            container.remove(force=True, v=True)
        for network in self.client.networks.list(filters=self.filters):
            network.remove()
        for name in self.list_volumes():
            self.client.volumes.get(name).remove()


MakeSite = Callable[..., Site]


def build_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of ours or Compose's, which would win over a site's `.env`."""
    own = {*setting_names(), "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in own and not name.startswith("COMPOSE_")}
    return {**kept, **(extra or {})}


def run_inside(container: Container, *command: str) -> tuple[int, str]:
    """Exit code and output of a command inside a container, as the container's own user."""
    done = container_exec.run_inside(container, command)
    return done.code, (done.stdout + done.stderr).strip()


def kill_inside(container: Container) -> None:
    """Kill a container's service as the kernel kills a process that runs out of memory: all but its init.

    ``docker kill`` would be the operator's own wish, after which the restart policy does nothing.
    """
    container.exec_run(["sh", "-c", "kill -9 -1"])
