"""The compose runtime: containers are started and stopped with the ``docker compose`` CLI, and looked at by SDK.

In: a ``StartPlan``, or services' names. Out: states, answers and log lines. Does I/O.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.docker.container_fetch import fetch_inside, run_probe
from stackctl.adapters.docker.container_gpu import explain_lost_gpu
from stackctl.adapters.docker.containers import SiteContainers, read_epoch
from stackctl.adapters.docker.image_fetch import check_command
from stackctl.adapters.docker.site_images import NO_IMAGES, SiteImages
from stackctl.adapters.files.site_files import save_text
from stackctl.adapters.machine.commands import run_command, stream_command
from stackctl.core.access.offline_project import OFFLINE_FILE, build_offline_file, find_offline_image
from stackctl.core.stack.names import COMPOSE_FILE, GATEWAY, OVERRIDE_FILE
from stackctl.core.stack.runtime import Answer, CompletedCommand, ServiceState, StartPlan
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from stackctl.core.apps.app import AppService
    from stackctl.core.machine.host import RuntimeName
    from stackctl.core.stack.stack import Service

STOP_TIMEOUT_S = 120.0
# The engine writes one line a chunk and says where its model is within its first 250 lines.
START_CHUNKS = 2_000
# An interrupted 'up' may have asked for a container that the engine still makes while the others are removed.
STOP_ROUNDS = 3


class ComposeRuntime:
    """The containers of one site, started and stopped.

    Args:
        project: name of the Compose project.
        rendered_dir: path of the rendered files, two folders below the site's.
        images: what the containers are made of.
        uses_curl: whether the engine's image has curl (llama.cpp's) or Python (ours).
        former: path of the state folder when the stack was started, if the site was moved since.
        keeps_state: whether the gateway's volume stays when the containers are removed.
    """

    name: RuntimeName = "compose"

    def __init__(
        self,
        project: str,
        rendered_dir: Path,
        images: SiteImages = NO_IMAGES,
        *,
        uses_curl: bool,
        former: Path | None = None,
        keeps_state: bool = True,
    ) -> None:
        self._containers = SiteContainers(project, rendered_dir, former)
        self._project = project
        self._rendered_dir = rendered_dir
        self._images = images
        self._uses_curl = uses_curl
        self._keeps_state = keeps_state

    def list_commands(self, plan: StartPlan) -> tuple[str, ...]:
        """The commands that ``start`` would run, for a dry run."""
        return (*self._images.list_commands(self._containers.connect), shlex.join(self._compose_up(plan)))

    def prepare(self, plan: StartPlan, report: Callable[[str], None]) -> None:
        """Build and pull the images that are not there.

        Raises:
            RuntimeFailure: another site uses this project name; and what ``SiteImages.bring`` raises.
        """
        self._containers.check_owner()
        self._images.bring(self._containers.connect, self._logs, report)

    def administer(self, plan: StartPlan, action: str, report: Callable[[str], None]) -> CompletedCommand:
        """Have the gateway's program do one action on the state, in a container that then goes.

        Args:
            action: JSON that the program reads on its standard input.

        Raises:
            RuntimeFailure: another site uses this project name, or the gateway's image cannot be had.
        """
        self._containers.check_owner()
        file = self._rendered_dir / OFFLINE_FILE
        text = build_offline_file(self._load_project(plan))
        save_text(file, text, mode=0o600)
        used = find_offline_image(text)
        self._images.bring(self._containers.connect, self._logs, report, lambda image: image == used)
        run = ["run", "--rm", "--no-deps", "--no-TTY", "--quiet-pull", GATEWAY]
        base = ["docker", "compose", "--project-name", self._project, "--file", str(file), "--env-file", "/dev/null"]
        # What the file refers to, where the state is in a database, comes by variables of this command's own.
        return run_command([*base, *run], STOP_TIMEOUT_S, plan.variables, text=action)

    def _load_project(self, plan: StartPlan) -> str:
        """The Compose project that the stack starts from; where the site has an override, with what that says."""
        text = plan.rendered.files[COMPOSE_FILE]
        if not plan.override:
            return text
        save_text(self._rendered_dir / COMPOSE_FILE, text, mode=0o644)
        save_text(self._rendered_dir / OVERRIDE_FILE, plan.override, mode=0o600)
        chosen = self._choose_files(plan, (COMPOSE_FILE, OVERRIDE_FILE))
        argv = [*chosen, "config", "--no-interpolate", "--format", "json"]
        done = run_command(argv, STOP_TIMEOUT_S, self._place_files(plan))
        check_command(done, "docker compose config failed", _explain(done.stderr))
        return done.stdout

    def start(self, plan: StartPlan, report: Callable[[str], None]) -> tuple[str, ...]:
        """Bring the containers to what the files say; names of the services that were created or started.

        Raises:
            RuntimeFailure: another site uses this project name, or Compose failed.
        """
        before = self._containers.list_starts()
        paused = {name: item for name, item in self._containers.list_all().items() if item.status == "paused"}
        for name, container in paused.items():
            report(f"{name} is paused; letting it go on")
            container.unpause()
        done = stream_command(
            self._compose_up(plan),
            lambda line: report(f"docker compose: {line.strip()}"),
            {**plan.variables, **self._place_files(plan)},
        )
        check_command(done, "docker compose up failed", _explain(done.stderr))
        after = self._containers.list_starts()
        return tuple(name for name, mark in after.items() if before.get(name) != mark or name in paused)

    def stop(self, report: Callable[[str], None]) -> bool:
        """Remove containers and networks; whether any was there. Keys and usage stay, as files of a site do."""
        rounds, volumes = 0, [] if self._keeps_state else ["--volumes"]
        while self._containers.has_anything() and rounds < STOP_ROUNDS:
            rounds += 1
            argv = ["docker", "compose", "--project-name", self._project, "down", "--remove-orphans", *volumes]
            done = stream_command(argv, lambda line: report(f"docker compose: {line.strip()}"))
            check_command(done, "docker compose down failed", "run 'docker ps' to see what is left")
        return rounds > 0

    def list_leftovers(self) -> tuple[int, ...]:
        """No processes: the Docker engine knows all containers, and Compose finds its own."""
        return ()

    def restart(self, names: tuple[str, ...], report: Callable[[str], None]) -> None:
        """Restart containers; a health check tells when they are ready."""
        there = self._containers.list_all()
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
        """What the Docker engine says of each container; empty when the stack is down."""
        return self._containers.list_states()

    def list_ports(self) -> frozenset[int]:
        """Ports of this machine that our own containers hold: the kernel names docker's proxy as their holder."""
        return self._containers.list_ports()

    def fetch(self, service: Service, path: str, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        """Ask an engine from inside its own container: its network has no way in from this machine."""
        container = self._containers.find_running(service.name)
        if container is None:
            return Answer(0, error="the container is not running")
        url = f"http://127.0.0.1:{service.port}{path}"
        uses_curl = self._uses_curl and not (service.model and service.model.is_vllm)
        variable = service.key_variable
        return fetch_inside(container, url, variable, uses_curl=uses_curl, timeout_s=timeout_s)

    def probe(self, service: Service, app: AppService, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        """Ask the service of an app by its probe, in its own container, which has the variables."""
        container = self._containers.find_running(service.name)
        return Answer(0, error="the container is not running") if container is None else run_probe(container, app)

    def read_log(self, service: str, lines: int) -> str:
        """The end of a container's log."""
        container = self._containers.find(service)
        return container.logs(tail=lines).decode(errors="replace").rstrip("\n") if container else ""

    def read_start_log(self, state: ServiceState) -> str:
        """The first lines that a container wrote since its start; of a log that has turned over, the oldest left."""
        container = self._containers.find(state.name)
        if container is None:
            return ""
        since = read_epoch(container.attrs["State"]["StartedAt"])
        stream = container.logs(stream=True, follow=False, since=since)
        try:
            return b"".join(islice(stream, START_CHUNKS)).decode(errors="replace")
        finally:
            stream.close()

    def explain_lost_gpu(self, service: str) -> str:
        """What the driver's program says in a container whose devices were taken away; empty when it has them."""
        container = self._containers.find_running(service)
        return explain_lost_gpu(container) if container is not None else ""

    def follow_logs(self, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None:
        """Pass on lines as they are written, until interrupted or the containers are gone."""
        options = ("--follow", "--no-color", "--tail", str(lines))
        argv = ["docker", "compose", "--project-name", self._project, "logs", *options, *services]

        def split(line: str) -> None:
            name, _, text = line.partition("|")
            write(name.strip().removesuffix("-1"), text.removeprefix(" "))

        stream_command(argv, split)

    def _compose_up(self, plan: StartPlan) -> list[str]:
        files = (*plan.compose_files, *([OVERRIDE_FILE] if plan.override else []))
        return [
            *self._choose_files(plan, files),
            "up",
            "--detach",
            "--remove-orphans",
            "--no-build",
            *(["--pull", "never"] if self._images.loaded else ["--quiet-pull"]),
        ]

    def _choose_files(self, plan: StartPlan, files: tuple[str, ...]) -> list[str]:
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
        ]

    def _place_files(self, plan: StartPlan) -> dict[str, str]:
        """Variables that say where the rendered files lie, when that is not the project's folder."""
        return {"STACK_RENDERED": str(self._rendered_dir)} if plan.override else {}

    @property
    def _logs(self) -> Path:
        return self._rendered_dir.parent / "logs"

    @property
    def _site(self) -> Path:
        return self._rendered_dir.parent.parent

    def _compose(self, *arguments: str) -> CompletedCommand:
        return run_command(["docker", "compose", "--project-name", self._project, *arguments], STOP_TIMEOUT_S)


def _explain(stderr: str) -> str:
    """One next step for the failures that people meet most."""
    if 'could not select device driver "nvidia"' in stderr:
        return "install the NVIDIA Container Toolkit and run 'nvidia-ctk runtime configure', or set STACK_GPU=none"
    if OVERRIDE_FILE in stderr:
        return f"correct {OVERRIDE_FILE}, which lies in the site's folder"
    if "port is already allocated" in stderr or "address already in use" in stderr:
        return "set another API_GATEWAY_PORT in .env"
    return "run 'stackctl doctor'"
