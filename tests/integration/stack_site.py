"""A site of the process runtime for tests: its folder, its ports, its commands and its real processes.

Does I/O: runs ``stackctl`` as a user would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import httpx

from stackctl.core.settings.dotenv import parse_dotenv, set_values
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.names import find_socket
from tests.ports import claim_ports
from tests.processes import is_alive, list_descendants
from tests.site_folders import make_site_folder
from tests.waiting import wait_for

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[2]
DEMO_MODEL = REPOSITORY / "models" / "demo.gguf"
DEMO = json.loads((REPOSITORY / "models" / "demo.json").read_text(encoding="utf-8"))
ANSWERS: dict[str, str] = {entry["question"]: entry["answer"] for entry in DEMO["answers"]}
# The demo model answers this until its context is full: an answer that is still running when a fault strikes.
ENDLESS_QUESTION: str = DEMO["endless"][0]["question"]

STACKCTL = (sys.executable, "-m", "stackctl")
CHAT_SERVICE, EMBEDDING_SERVICE, GATEWAY_SERVICE = "inference-chat", "inference-embed", "api-gateway"
# Generous, because a machine that also builds images is slow; a pass never waits for them.
COMMAND_TIMEOUT_S = 300.0
DEADLINE_S = 120.0
POLL_S = 0.1

# A shell's settings must not change what a test sees.
_SETTINGS = frozenset(item.name.upper() for item in fields(Settings))
# What `make test` hands on to a make that a test runs, and changes what it prints.
_MAKES = frozenset({"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"})


def clean_environment(**changes: str) -> dict[str, str]:
    """This process's environment without the product's settings."""
    return {name: value for name, value in os.environ.items() if name not in _SETTINGS | _MAKES} | changes


@dataclass(frozen=True)
class Background:
    """A command that goes on while the test does."""

    process: subprocess.Popen[bytes]
    output: Path

    def read(self) -> str:
        """What it has said so far."""
        return self.output.read_text(encoding="utf-8")

    def wait_text(self, part: str) -> None:
        """Wait until it has said this."""
        wait_for(lambda: part in self.read() or self.process.poll() is not None, f"'{part}'")
        assert part in self.read(), f"it ended ({self.process.returncode}) without saying '{part}': {self.read()}"

    def interrupt(self) -> int:
        """Ctrl-C, if it still runs; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGCONT)  # a test that failed may have left it stopped
        return self.process.wait(COMMAND_TIMEOUT_S)


@dataclass
class Site:
    """One site folder.

    Attributes:
        command: what runs ``stackctl``.
        started: commands in the background; stopped with the site.
    """

    path: Path
    command: Sequence[str] = STACKCTL
    started: list[Background] = field(default_factory=list)

    @classmethod
    def create(cls, path: Path, command: Sequence[str] = STACKCTL, **settings: str) -> Site:
        """Make the folder a site, on ports that nobody uses, with one thread for each engine.

        A model as small as the demo's is no work for two, which spend most of a busy machine on waiting for each other.
        """
        site = cls(path, command)
        if command is STACKCTL:
            make_site_folder(path)
        else:
            subprocess.run([*command, "init", str(path)], capture_output=True, check=True)
        gateway, *_ = ports = claim_ports()
        defaults = {
            "STACK_NAME": f"test-{gateway}",
            "STACK_RUNTIME": "process",
            "API_GATEWAY_PORT": str(gateway),
            "INFERENCE_PORT": str(ports[1]),
            "INFERENCE_THREADS": "1",
        }
        site.configure(**defaults | settings)
        return site

    def configure(self, **settings: str) -> None:
        """Edit ``.env``."""
        text = (self.path / ".env").read_text(encoding="utf-8")
        (self.path / ".env").write_text(set_values(text, settings), encoding="utf-8")

    @property
    def settings(self) -> Mapping[str, str]:
        """What ``.env`` says."""
        return parse_dotenv((self.path / ".env").read_text(encoding="utf-8")).values

    @property
    def keys(self) -> Mapping[str, str]:
        """The three generated secrets by setting."""
        return {name: value for name, value in self.settings.items() if name.endswith("_KEY") and value}

    @property
    def url(self) -> str:
        """The gateway's base URL."""
        return f"http://127.0.0.1:{self.settings['API_GATEWAY_PORT']}"

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.path / ".stack"

    @property
    def socket_folder(self) -> Path:
        """Where the supervisor's control socket is."""
        return Path(find_socket(str(self.state))).parent

    def run(self, *arguments: str, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the site's folder; its exit code must be ``code``, unless that is None."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.path,
            env=clean_environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}: {done.stdout}\n{done.stderr}"
        return done

    def run_json(self, *arguments: str, code: int | None = 0) -> Any:
        """The same with ``--json``."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def spawn(self, *arguments: str) -> Background:
        """Start a command in the background."""
        output = self.path / f"background-{len(self.started)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*self.command, *arguments],
                cwd=self.path,
                env=clean_environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(Background(process, output))
        return self.started[-1]

    def client(self, setting: str = "GATEWAY_KEY") -> httpx.Client:
        """An HTTP client of the gateway with one of the site's keys; none for an empty setting."""
        headers = {"Authorization": f"Bearer {self.keys[setting]}"} if setting else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=DEADLINE_S)

    def list_services(self) -> dict[str, dict[str, Any]]:
        """Service to its facts as ``status`` tells them; empty when the stack is down."""
        return {item["name"]: item for item in self.run_json("status").get("services", [])}

    def find_pids(self) -> dict[str, int]:
        """Service to its process."""
        return {name: int(item["pid"]) for name, item in self.list_services().items()}

    def find_supervisor(self) -> int:
        """The supervisor's process; 0 when there is none."""
        try:
            return int((self.state / "supervisord.pid").read_text())
        except FileNotFoundError:
            return 0

    def list_processes(self) -> list[int]:
        """Every process of the running stack: the supervisor and all below it."""
        supervisor = self.find_supervisor()
        return [supervisor, *list_descendants(supervisor)] if supervisor and is_alive(supervisor) else []

    def load_health(self) -> dict[str, Any]:
        """The health report, healthy or not."""
        report = self.run_json("health", code=None)
        assert isinstance(report, dict)
        return report

    def wait_healthy(self) -> dict[str, Any]:
        """The first report in which everything works."""
        return wait_for(lambda: report if (report := self.load_health())["status"] == "ok" else None, "health")

    def stop(self) -> None:
        """End whatever runs of this site, also after a test that failed."""
        for command in self.started:
            command.interrupt()
        left = self.list_processes()
        if left or self.started or self.state.exists():
            self.run("down", code=None)
        for pid in filter(is_alive, left):
            os.kill(pid, signal.SIGKILL)
