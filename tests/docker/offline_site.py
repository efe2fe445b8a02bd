"""A machine without a network, and the ``stackctl`` commands that an operator types on it.

Its commands run in a network namespace that has no route, with caches of their own; so what they find, the bundle
brought. For containers it is the namespace of an air-gapped engine, for processes one without any engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docker.airgap import AirgappedEngine
from tests.docker.commands import Done, change_settings, run_to_end
from tests.docker.sites import build_environment

# This machine has them, the one at the site does not.
_ABSENT = ("docker", "dockerd", "llama-server", "uv")
_NEEDED = ("sh", "python3")


@dataclass(frozen=True, slots=True)
class OfflineSite:
    """A site folder on a machine without a network.

    Attributes:
        entry: what a command line begins with to run there.
        environment: of its commands, complete.
        program: path of its ``stackctl``; empty before the bundle's was installed.
    """

    folder: Path
    entry: tuple[str, ...]
    environment: Mapping[str, str]
    program: str = ""

    @property
    def current(self) -> str:
        """Short id of the release that ``up`` starts; empty before the first."""
        link = self.folder / "offline" / "current"
        return link.resolve().name if link.is_symlink() else ""

    def run(self, *arguments: str) -> Done:
        """Run a ``stackctl`` command in the site's folder, to its end, whatever its exit code."""
        return self.run_program(self.program, *arguments)

    def run_program(self, *argv: str, cwd: Path | None = None) -> Done:
        """Run any program on this machine."""
        return run_to_end([*self.entry, *argv], self.environment, cwd or self.folder)

    def run_well(self, *arguments: str) -> Done:
        """Run a command that must succeed."""
        return self.run(*arguments).expect_success()

    def load_json(self, *arguments: str) -> dict[str, Any]:
        """The report of a command that must succeed."""
        values = json.loads(self.run_well(*arguments, "--json").stdout)
        assert isinstance(values, dict)
        return values

    def set(self, **settings: object) -> None:
        """Change settings in `.env`."""
        change_settings(self.folder, settings)

    def kill_at(self, line: str, *arguments: str) -> None:
        """Start a command and kill it, as a power cut would, when a line of its progress begins so.

        Raises:
            AssertionError: it ended before.
        """
        with subprocess.Popen(
            [*self.entry, self.program, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            said = []
            for text in process.stderr:
                said.append(text)
                if text.partition("] ")[2].startswith(line):
                    process.kill()
                    break
            assert process.wait() == -9, f"it ended before '{line}':\n{''.join(said)}"


def open_engine_site(folder: Path, engine: AirgappedEngine, program: str) -> OfflineSite:
    """A site beside an air-gapped engine."""
    site = folder / "site"
    site.mkdir(parents=True)
    own = {"DOCKER_HOST": engine.host, "XDG_CACHE_HOME": str(folder / "cache")}
    return OfflineSite(site, tuple(engine.build_entry()), build_environment(own), program)


def open_bare_site(folder: Path, entry: tuple[str, ...]) -> OfflineSite:
    """A site on a machine that has Python and nothing else: no engine, no caches, no home."""
    site, home = folder / "site", folder / "home"
    site.mkdir(parents=True)
    home.mkdir()
    environment = {
        "HOME": str(home),
        "PATH": os.pathsep.join(find_bare_path()),
        "DOCKER_HOST": f"unix://{folder}/no-engine.sock",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    return OfflineSite(site, entry, environment)


def find_bare_path() -> list[str]:
    """PATH without the folders of programs that the site's machine does not have.

    A folder that has the system's own programs as well stays: no engine answers there in any case.
    """

    def has_any(folder: str, names: tuple[str, ...]) -> bool:
        return any((Path(folder) / name).exists() for name in names)

    own = str(Path(sys.prefix) / "bin")
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own]
    return [folder for folder in folders if has_any(folder, _NEEDED) or not has_any(folder, _ABSENT)]


@contextmanager
def network_without_routes() -> Iterator[tuple[str, ...]]:
    """A network namespace with loopback alone; what a command line begins with to run in it."""
    script = "ip link set lo up && echo ready && exec cat"
    with subprocess.Popen(
        ["unshare", "--net", "--", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        try:
            yield ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--")
        finally:
            holder.stdin.close()
