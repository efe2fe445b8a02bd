"""Watch what a Docker engine does with images while a rehearsal runs, and stop the rehearsal's containers.

In: names of images, of a Compose project, of services. Out: what was pulled or changed meanwhile. Does I/O.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackctl.adapters.docker.docker_engine import connect_engine
from stackctl.adapters.docker.image_fetch import check_command
from stackctl.adapters.machine.commands import run_command
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient

STOP_TIMEOUT_S = 120.0
# Meanwhile a Compose client that was left alone comes to its end, and whoever starts a rehearsal anew takes over.
PATIENCE_S = 15.0
# Its input ends without a line when the process that waits for it is gone, however it went.
_GUARD = """
read -r line && exit
sleep "$3"
flock --nonblock "$2" docker compose --project-name "$1" down --remove-orphans --volumes
"""


class EngineWatch:
    """What happens to a Docker engine's images while this watches.

    Attributes:
        images: the stack's images by name, with their ids in the Docker engine at the start.
    """

    def __init__(self, client: DockerClient, names: Sequence[str]) -> None:
        self._client = client
        self._pulled: list[str] = []
        self.images = {name: self._find_id(name) for name in names}
        # A stream, not a look back at the end: Docker remembers 256 events, and health checks make many.
        self._stream = client.events(decode=True, filters={"type": "image", "event": "pull"})
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def list_pulled(self) -> tuple[str, ...]:
        """Images that were pulled, and images of the stack that are not what they were at the start."""
        changed = [name for name, before in self.images.items() if self._find_id(name) != before]
        return tuple(sorted({*self._pulled, *changed}))

    def find_gap(self) -> str:
        """Why a pull may have gone unseen; empty when none can have."""
        return "" if self._thread.is_alive() else "the engine's stream of events broke off"

    def close(self) -> None:
        """Stop listening."""
        self._stream.close()
        self._thread.join(timeout=5)

    def _collect(self) -> None:
        for event in self._stream:
            self._pulled.append(_read_name(event))

    def _find_id(self, name: str) -> str:
        from docker.errors import ImageNotFound  # imported late, as in compose_runtime

        try:
            return str(self._client.images.get(name).id)
        except ImageNotFound as error:
            raise RuntimeFailure(
                f"The image {name} is not on this machine.", "load the bundle that has it, or run 'stackctl up'"
            ) from error


@contextmanager
def watch_engine(names: Sequence[str]) -> Iterator[EngineWatch]:
    """Watch the Docker engine's images while the block runs.

    Args:
        names: names of the stack's own images.

    Raises:
        RuntimeFailure: no Docker engine answers, or one of the images is not there.
    """
    client = connect_engine()
    try:
        watch = EngineWatch(client, names)
        try:
            yield watch
        finally:
            watch.close()
    finally:
        client.close()


@contextmanager
def remove_if_killed(project: str, lock: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Have a project's containers removed if this process is killed within the block, even by SIGKILL.

    Args:
        lock: the site's lock; where another command holds it by then, the containers are left to that command.
    """
    with subprocess.Popen(
        ["sh", "-c", _GUARD, "sh", project, str(lock), str(patience_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends this process's group leaves it alone
    ) as guard:
        is_over = False
        try:
            yield
            is_over = True
        except Exception:
            is_over = True
            raise
        finally:
            # A second interrupt may have broken off the removal: then the guard looks once more.
            if is_over:
                guard.communicate(b"over\n")


def stop_containers(project: str, services: Sequence[str]) -> None:
    """Stop services and keep their containers, whose logs are still to be read.

    Raises:
        RuntimeFailure: Compose could not stop them.
    """
    argv = ["docker", "compose", "--project-name", project, "stop", *services]
    done = run_command(argv, STOP_TIMEOUT_S)
    check_command(done, "docker compose stop failed", "run 'docker ps' to see what is left")


def _read_name(event: dict[str, Any]) -> str:
    actor = event.get("Actor") or {}
    return str(actor.get("ID") or (actor.get("Attributes") or {}).get("name") or event.get("id") or "an image")
