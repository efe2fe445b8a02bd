"""What Docker has of a site's Compose project: its containers, their states and ports, whose they are. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackctl.adapters.docker.docker_engine import connect_engine
from stackctl.adapters.docker.projects import FOLDER_LABEL, PROJECT_LABEL
from stackctl.core.stack.runtime import Phase, ServiceState
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"

_PHASES = {"restarting": Phase.RESTARTING, "created": Phase.STARTING, "paused": Phase.PAUSED}


class SiteContainers:
    """The containers of one site, looked at.

    Args:
        project: name of the Compose project.
        rendered_dir: path of the rendered files, two folders below the site's.
        former: path of the state folder when the stack was started, if the site was moved since.
    """

    def __init__(self, project: str, rendered_dir: Path, former: Path | None = None) -> None:
        self._project = project
        folders = (rendered_dir, *([former / rendered_dir.name] if former else []))
        # With an override the project's folder is the site's.
        self._own_folders = {str(place) for folder in folders for place in (folder, folder.parent.parent)}
        self._connection: DockerClient | None = None

    def connect(self) -> DockerClient:
        """Connect to the Docker engine; gives one and the same client every time."""
        if self._connection is None:
            self._connection = connect_engine()
        return self._connection

    def list_all(self) -> dict[str, Container]:
        """The site's containers by service, in the order of the services' names; another site's are left out."""
        found = {item.labels[SERVICE_LABEL]: item for item in self._list_project() if self._is_own(item)}
        return dict(sorted(found.items()))

    def find(self, service: str) -> Container | None:
        """A service's container, running or not; None where it has none."""
        return self.list_all().get(service)

    def find_running(self, service: str) -> Container | None:
        """A service's container if it runs; else None."""
        container = self.find(service)
        return container if container is not None and container.status == "running" else None

    def list_states(self) -> dict[str, ServiceState]:
        """What the Docker engine says of each container."""
        return {name: _build_state(name, item.attrs) for name, item in self.list_all().items()}

    def list_starts(self) -> dict[str, str]:
        """A mark for each service that changes when its container is created or started."""
        return {name: item.id + item.attrs["State"]["StartedAt"] for name, item in self.list_all().items()}

    def list_ports(self) -> frozenset[int]:
        """Ports of this machine that the containers hold: the kernel names docker's proxy as their holder."""
        found: set[int] = set()
        for item in self.list_all().values():
            bindings = (item.attrs.get("NetworkSettings", {}).get("Ports") or {}).values()
            found.update(int(binding["HostPort"]) for group in bindings for binding in group or ())
        return frozenset(found)

    def has_anything(self) -> bool:
        """Whether this site has containers or networks; another site's stack of the same name is not touched."""
        containers = self._list_project()
        return all(map(self._is_own, containers)) and bool(containers or self._list_networks())

    def check_owner(self) -> None:
        """Refuse to take over the containers of another site that has the same project name.

        Raises:
            RuntimeFailure: another site has containers under this project name.
        """
        others = [item for item in self._list_project() if not self._is_own(item)]
        if others:
            raise RuntimeFailure(
                f"The project name '{self._project}' is in use by the stack in {others[0].labels[FOLDER_LABEL]}.",
                "set another STACK_NAME in .env, or run 'stackctl down' there first",
            )

    def _is_own(self, container: Container) -> bool:
        return container.labels.get(FOLDER_LABEL, "") in self._own_folders

    def _list_project(self) -> list[Container]:
        # A container of 'docker compose run' is no service: one asks the state for a moment, while the stack is down.
        labels = [f"{PROJECT_LABEL}={self._project}", f"{ONE_OFF_LABEL}=False"]
        return self.connect().containers.list(all=True, ignore_removed=True, filters={"label": labels})

    def _list_networks(self) -> list[Any]:
        return self.connect().networks.list(filters={"label": f"{PROJECT_LABEL}={self._project}"})


def _build_state(name: str, attrs: Mapping[str, Any]) -> ServiceState:
    state = attrs["State"]
    is_running = state["Status"] == "running"
    return ServiceState(
        name,
        _read_phase(state),
        ", ".join(_list_details(state)),
        int(state.get("Pid") or 0),
        datetime.now(UTC).timestamp() - read_epoch(state["StartedAt"]) if is_running else 0.0,
        int(attrs.get("RestartCount", 0)),
        start=f"{attrs['Id'][:12]}@{state['StartedAt']}" if is_running else "",
    )


def _read_phase(state: Mapping[str, Any]) -> Phase:
    status = str(state["Status"])
    if status == "running":
        return Phase.STARTING if _read_health(state) == "starting" else Phase.RUNNING
    return _PHASES.get(status, Phase.FAILED)


def _read_health(state: Mapping[str, Any]) -> str:
    """What the image's own health check says; empty where the image has none."""
    return str((state.get("Health") or {}).get("Status", ""))


def _list_details(state: Mapping[str, Any]) -> list[str]:
    """What a person should know of a container's state."""
    details = []
    if state["Status"] == "running":
        details.append(_read_health(state))
    elif state["Status"] != "paused":
        details.append(f"exited with code {state['ExitCode']}")
    if state.get("OOMKilled"):
        details.append("killed at its memory limit")
    return [detail for detail in details if detail]


def read_epoch(text: str) -> float:
    """Seconds since 1970 of Docker's RFC 3339 time, whose nanoseconds Python does not read."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole[:19]).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")
