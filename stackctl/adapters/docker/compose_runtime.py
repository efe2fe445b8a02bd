"""The compose runtime: lifecycle through the ``docker compose`` CLI, looking at containers through the docker SDK."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stackctl.adapters.docker.container_fetch import fetch_inside
from stackctl.adapters.docker.docker_engine import connect_engine
from stackctl.adapters.docker.image_fetch import build_image, check_command, check_named_image, pull_image
from stackctl.adapters.machine.commands import run_command, stream_command
from stackctl.core.images.build import ImageBuild
from stackctl.core.images.checks import NamedImage
from stackctl.core.machine.host import RuntimeName
from stackctl.core.stack.render import COMPOSE_FILE, OVERRIDE_FILE
from stackctl.core.stack.runtime import Answer, CompletedCommand, Phase, ServiceState, StartPlan
from stackctl.core.stack.stack import Service
from stackctl.errors import ImageUnavailable, RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

STOP_TIMEOUT_S = 120.0
# The engine writes one line a chunk and says where its model is within its first 250 lines.
START_CHUNKS = 2_000
NOT_EXECUTABLE, NOT_FOUND = 126, 127
# A driver that hangs would hold up health for ever: both images that we know of have 'timeout'.
SMI_TIMEOUT_S = 5
ASK_GPU = ("timeout", "-s", "KILL", str(SMI_TIMEOUT_S), "nvidia-smi", "-L")
TIMEOUT_FAILED, KILLED = 125, 137
# An interrupted 'up' may have asked for a container that the engine still makes while the others are removed.
STOP_ROUNDS = 3
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
FOLDER_LABEL = "com.docker.compose.project.working_dir"
FILES_LABEL = "com.docker.compose.project.config_files"

_PHASES = {"restarting": Phase.RESTARTING, "created": Phase.STARTING, "paused": Phase.PAUSED}


class ComposeRuntime:
    """The containers of one site.

    Args:
        project: Compose's project name.
        rendered_dir: where the rendered files are, two folders below the site's.
        pulled: images that come from a registry when they are not there yet.
        builds: images that are built here when they are not there yet.
        uses_curl: whether the engine's image has curl (llama.cpp's) or Python (ours).
        loaded: images that an installed release brought; then nothing is ever pulled.
        former: the state folder's path when the stack was started, if the site was moved since.
        named: images that settings name; each is looked at before a container is made of it.
    """

    name: RuntimeName = "compose"

    def __init__(
        self,
        project: str,
        rendered_dir: Path,
        pulled: tuple[str, ...],
        builds: tuple[ImageBuild, ...],
        uses_curl: bool,
        loaded: tuple[str, ...] = (),
        former: Path | None = None,
        named: tuple[NamedImage, ...] = (),
    ) -> None:
        self._named = named
        self._project = project
        self._rendered_dir = rendered_dir
        folders = (rendered_dir, *([former / rendered_dir.name] if former else []))
        # With an override the project's folder is the site's.
        self._own_folders = {str(place) for folder in folders for place in (folder, folder.parent.parent)}
        self._pulled = pulled
        self._builds = builds
        self._uses_curl = uses_curl
        self._loaded = loaded
        self._connection: DockerClient | None = None

    def list_commands(self, plan: StartPlan) -> tuple[str, ...]:
        """The commands that ``start`` would run, for a dry run."""
        pulls = [f"docker pull {image}" for image in self._pulled if not self._has_image(image)]
        missing = [item for item in self._builds if not self._has_image(item.tag)]
        return (
            *pulls,
            *(shlex.join(item.build_argv()) for item in missing),
            shlex.join(self._compose_up(plan)),
        )

    def prepare(self, plan: StartPlan, report: Callable[[str], None]) -> None:
        """Build and pull the images that are not there.

        Raises:
            RuntimeFailure: a build or a pull failed; with the end of its output.
            ImageUnavailable: an image of the installed release is not in the engine.
            ConfigError: a setting names an image of another program or for another processor.
        """
        self._check_owner()
        missing = [image for image in self._loaded if not self._has_image(image)]
        if missing:
            raise ImageUnavailable(
                f"The engine does not have images of the installed release: {', '.join(missing)}.",
                "run 'stackctl offline-load' with its bundle again: it brings what is missing",
            )
        # Pulls first: what no registry gives is known before minutes of building.
        for image in self._pulled:
            if not self._has_image(image):
                pull_image(image, report)
        for named in self._named:
            check_named_image(self._client(), named)
        for build in self._builds:
            if not self._has_image(build.tag):
                build_image(build, self._rendered_dir.parent / "logs" / f"build-{build.title}.log", report)

    def start(self, plan: StartPlan, report: Callable[[str], None]) -> tuple[str, ...]:
        """Bring the containers to what the files say; names of those created or started.

        Raises:
            RuntimeFailure: another site uses this project name, or Compose failed.
        """
        before = self._list_starts()
        paused = [name for name, item in self._list_containers().items() if item.status == "paused"]
        for name in paused:
            report(f"{name} is paused; letting it go on")
            self._list_containers()[name].unpause()
        done = stream_command(
            self._compose_up(plan),
            lambda line: report(f"docker compose: {line.strip()}"),
            {**plan.variables, **self._place_files(plan)},
        )
        check_command(done, "docker compose up failed", _explain(done.stderr))
        after = self._list_starts()
        return tuple(name for name, mark in after.items() if before.get(name) != mark or name in paused)

    def stop(self, report: Callable[[str], None]) -> bool:
        """Remove containers and networks; whether any was there."""
        rounds = 0
        while self._has_anything() and rounds < STOP_ROUNDS:
            rounds += 1
            argv = ["docker", "compose", "--project-name", self._project, "down", "--remove-orphans", "--volumes"]
            done = stream_command(argv, lambda line: report(f"docker compose: {line.strip()}"))
            check_command(done, "docker compose down failed", "run 'docker ps' to see what is left")
        return rounds > 0

    def list_leftovers(self) -> tuple[int, ...]:
        """None: the engine knows all containers, and Compose finds its own."""
        return ()

    def restart(self, names: tuple[str, ...], report: Callable[[str], None]) -> None:
        """Restart containers; health tells when they are ready."""
        there = self._list_containers()
        missing = [name for name in names if name not in there]
        if missing:
            raise RuntimeFailure(f"Not running: {', '.join(missing)}.", "run 'stackctl up'")
        for name in names:
            report(f"restarting {name}")
        check_command(
            self._compose("restart", "--timeout", "15", *names),
            "docker compose restart failed",
            "run 'stackctl logs'",
        )

    def list_states(self) -> dict[str, ServiceState]:
        """What the engine says of each container; empty when the stack is down."""
        return {name: _build_state(name, item.attrs) for name, item in self._list_containers().items()}

    def list_ports(self) -> frozenset[int]:
        """Ports of this machine that our own containers hold: the kernel names docker's proxy as their holder."""
        found: set[int] = set()
        for item in self._list_containers().values():
            bindings = (item.attrs.get("NetworkSettings", {}).get("Ports") or {}).values()
            found.update(int(binding["HostPort"]) for group in bindings for binding in group or ())
        return frozenset(found)

    def fetch(self, service: Service, path: str, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        """Ask an engine from inside its own container: its network has no way in from this machine."""
        container = self._list_containers().get(service.name)
        if container is None or container.status != "running":
            return Answer(0, error="the container is not running")
        url = f"http://127.0.0.1:{service.port}{path}"
        return fetch_inside(container, url, uses_curl=self._uses_curl, timeout_s=timeout_s)

    def read_log(self, service: str, lines: int) -> str:
        """The end of a container's log."""
        container = self._list_containers().get(service)
        return container.logs(tail=lines).decode(errors="replace").rstrip("\n") if container else ""

    def read_start_log(self, state: ServiceState) -> str:
        """The first lines that a container wrote since its start; of a log that has turned over, the oldest left."""
        container = self._list_containers().get(state.name)
        if container is None:
            return ""
        since = _read_epoch(container.attrs["State"]["StartedAt"])
        stream = container.logs(stream=True, follow=False, since=since)
        try:
            return b"".join(islice(stream, START_CHUNKS)).decode(errors="replace")
        finally:
            stream.close()

    def explain_lost_gpu(self, service: str) -> str:
        """What the driver's program says in a container whose devices were taken away; empty when it has them.

        An engine that runs keeps what it has opened, so only a new process shows the loss before the next start does.
        """
        container = self._list_containers().get(service)
        if container is None or container.status != "running":
            return ""
        code, output = container.exec_run(list(ASK_GPU))
        if code == KILLED:
            return f"nvidia-smi did not answer within {SMI_TIMEOUT_S} s"
        said = cast("bytes", output or b"").decode(errors="replace").strip()
        # An image may lack one of the two programs, or have a 'timeout' of its own kind: no word on the GPU.
        is_told = code not in (NOT_EXECUTABLE, NOT_FOUND, TIMEOUT_FAILED) and not said.startswith("timeout: ")
        return said.splitlines()[0] if code and is_told and said else ""

    def follow_logs(self, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None:
        """Pass on lines as they are written, until interrupted or the containers are gone."""
        argv = [
            "docker",
            "compose",
            "--project-name",
            self._project,
            "logs",
            "--follow",
            "--no-color",
            "--tail",
            str(lines),
        ]

        def split(line: str) -> None:
            name, _, text = line.partition("|")
            write(name.strip().removesuffix("-1"), text.removeprefix(" "))

        stream_command([*argv, *services], split)

    def _compose_up(self, plan: StartPlan) -> list[str]:
        files = [*plan.compose_files, *([OVERRIDE_FILE] if plan.override else [])]
        chosen = [part for name in files for part in ("--file", str(self._rendered_dir / name))]
        # Values come from this command's environment alone: an .env beside the file must not have a second say.
        return [
            "docker",
            "compose",
            "--project-name",  # or COMPOSE_PROJECT_NAME of the user's environment would win over the file's own
            self._project,
            *chosen,
            # In a file of the site's own, relative paths start where that file lies.
            *(["--project-directory", str(self._site)] if plan.override else []),
            "--env-file",
            "/dev/null",
            "up",
            "--detach",
            "--remove-orphans",
            "--no-build",
            *(["--pull", "never"] if self._loaded else ["--quiet-pull"]),
        ]

    def _place_files(self, plan: StartPlan) -> dict[str, str]:
        """Where the rendered files lie, when that is not the project's folder."""
        return {"STACK_RENDERED": str(self._rendered_dir)} if plan.override else {}

    @property
    def _site(self) -> Path:
        return self._rendered_dir.parent.parent

    def _compose(self, *arguments: str) -> CompletedCommand:
        return run_command(["docker", "compose", "--project-name", self._project, *arguments], STOP_TIMEOUT_S)

    def _check_owner(self) -> None:
        """Refuse to take over the containers of another site that has the same project name."""
        others = [item for item in self._list_project() if not self._is_own(item)]
        if others:
            raise RuntimeFailure(
                f"The project name '{self._project}' is in use by the stack in {others[0].labels[FOLDER_LABEL]}.",
                "set another STACK_NAME in .env, or run 'stackctl down' there first",
            )

    def _is_own(self, container: Container) -> bool:
        return container.labels.get(FOLDER_LABEL, "") in self._own_folders

    def _has_anything(self) -> bool:
        """Whether this site has containers or networks; another site's stack of the same name is not touched."""
        containers = self._list_project()
        return all(map(self._is_own, containers)) and bool(containers or self._list_networks())

    def _has_image(self, name: str) -> bool:
        from docker.errors import ImageNotFound

        try:
            self._client().images.get(name)
        except ImageNotFound:
            return False
        return True

    def _list_starts(self) -> dict[str, str]:
        """Service to a mark that changes when its container is created or started."""
        return {name: item.id + item.attrs["State"]["StartedAt"] for name, item in self._list_containers().items()}

    def _list_networks(self) -> list[Any]:
        return self._client().networks.list(filters={"label": f"{PROJECT_LABEL}={self._project}"})

    def _list_project(self) -> list[Container]:
        return self._client().containers.list(
            all=True, ignore_removed=True, filters={"label": f"{PROJECT_LABEL}={self._project}"}
        )

    def _list_containers(self) -> dict[str, Container]:
        """This site's containers by service, in the services' order of names."""
        found = {item.labels[SERVICE_LABEL]: item for item in self._list_project() if self._is_own(item)}
        return dict(sorted(found.items()))

    def _client(self) -> DockerClient:
        if self._connection is None:
            self._connection = connect_engine()
        return self._connection


def find_projects(rendered_dir: Path) -> tuple[str, ...]:
    """Compose projects of this site that have containers; none where no engine answers."""
    if shutil.which("docker") is None:
        return ()
    found = []
    try:
        client = connect_engine()
        for folder in (rendered_dir, rendered_dir.parent.parent):  # with an override the project's folder is the site's
            label = f"{FOLDER_LABEL}={folder}"
            found += client.containers.list(all=True, ignore_removed=True, filters={"label": label})
    except RuntimeFailure:
        return ()
    # A site's folder may have a project of its owner's own, too: ours is made of the rendered files.
    own = [item for item in found if item.labels.get(FILES_LABEL, "").startswith(str(rendered_dir / COMPOSE_FILE))]
    return tuple(sorted({item.labels[PROJECT_LABEL] for item in own}))


def _explain(stderr: str) -> str:
    """One next step for the failures that people meet most."""
    if 'could not select device driver "nvidia"' in stderr:
        return "install the NVIDIA Container Toolkit and run 'nvidia-ctk runtime configure', or set STACK_GPU=none"
    if OVERRIDE_FILE in stderr:
        return f"correct {OVERRIDE_FILE}, which lies in the site's folder"
    if "port is already allocated" in stderr or "address already in use" in stderr:
        return "set another API_GATEWAY_PORT in .env"
    return "run 'stackctl doctor'"


def _build_state(name: str, attrs: Mapping[str, Any]) -> ServiceState:
    state = attrs["State"]
    health = (state.get("Health") or {}).get("Status", "")
    status = str(state["Status"])
    if status == "running":
        phase = Phase.STARTING if health == "starting" else Phase.RUNNING
    else:
        phase = _PHASES.get(status, Phase.FAILED)
    details = (
        [health] if status == "running" else [] if status == "paused" else [f"exited with code {state['ExitCode']}"]
    )
    if state.get("OOMKilled"):
        details.append("killed at its memory limit")
    uptime_s = datetime.now(UTC).timestamp() - _read_epoch(state["StartedAt"]) if status == "running" else 0.0
    return ServiceState(
        name,
        phase,
        ", ".join(filter(None, details)),
        int(state.get("Pid") or 0),
        uptime_s,
        int(attrs.get("RestartCount", 0)),
        start=f"{attrs['Id'][:12]}@{state['StartedAt']}" if status == "running" else "",
    )


def _read_epoch(text: str) -> float:
    """Seconds since 1970 of Docker's RFC 3339 time, whose nanoseconds Python does not read."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole[:19]).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")
