"""A machine made of values: the files of a site, model headers, a host, two runtimes and a clock.

``World.effects`` is what the command line passes to an operation, without a disk, a process, a socket or a wait.
The project's own templates are the checkout's, under a path that is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackctl.core.machine.docker_facts import DockerFacts
from stackctl.core.machine.gpu import GpuMemory
from stackctl.core.machine.host import Host
from stackctl.core.models.files import ModelFile
from stackctl.core.stack.runtime import Answer
from stackctl.errors import StackError
from stackctl.operations.effects import Effects, Given, Paths
from tests.fakes.engines import FakeEngines
from tests.fakes.folders import DATA_ROOT, SITE
from tests.fakes.runtime import FakeRuntime
from tests.fakes.seams import FakeClock, FakeFiles, FakeMachine, FakeNetwork, FakeRuntimes, FakeTerminal

KEYS = {
    "GATEWAY_ADMIN_KEY": "planted-admin-key",
    "GATEWAY_KEY": "planted-gateway-key",
    "INFERENCE_API_KEY": "planted-engine-key",
}
DOCKER = DockerFacts("28.2.2", "28.5.2", compose_version="2.40.3")


def write_env(**values: object) -> str:
    """The text of an `.env` with the three keys and these values."""
    return "".join(f"{name}={value}\n" for name, value in {**KEYS, **values}.items())


class World:
    """Everything around an operation; change its attributes to change the machine.

    Attributes:
        files: the site's files: path to text.
        service_environments: folder of the environments that services run in.
        identities: path to the size, time and inode of a file that is not the one there was at first.
        file_age_s: how long ago the files were put where they are.
        broken_models: model path to what is found there instead of a good model.
        answers: path of a gateway URL to the answer that replaces the usual one.
        actions: what the running gateway was asked to do, with the URL and the key.
        action_answers: an action's name to the running gateway's answer.
        gateway_failure: what asking the gateway ends with instead.
        on_sleep: called whenever an operation waits.
    """

    def __init__(self, env: str | None = None, stack: str = "", site: Path = SITE) -> None:
        self.site = site
        self.files: dict[Path, str] = {site / ".env": write_env() if env is None else env, site / "stack.yml": stack}
        self.modes: dict[Path, int] = {}
        self.links: set[Path] = set()
        self.identities: dict[Path, list[int]] = {}
        self.file_age_s = 3600.0
        self.broken_models: dict[Path, tuple[ModelFile, ...]] = {}
        self.host = Host(docker=DOCKER)
        self.memory_bytes = 16 << 30
        self.gpu_memory = GpuMemory()
        self.environment: dict[str, str] = {}
        self.python = "/opt/stackctl/bin/python"
        self.launcher = DATA_ROOT / "stackctl" / "programs" / "launch.py"
        self.service_environments = Path("/cache/envs")
        self.flags: dict[str, str] = {}
        self.programs: dict[str, str] = {}
        self.ancestors: dict[int, tuple[int, ...]] = {}
        self.answers: dict[str, Answer] = {}
        self.on_sleep: Callable[[], None] = lambda: None
        self.engines = FakeEngines(self.find_environment)
        self.cpu_features: frozenset[str] | None = frozenset({"avx2", "fma", "f16c", "bmi2"})
        self.runtimes: dict[str, FakeRuntime] = {"compose": FakeRuntime("compose"), "process": FakeRuntime("process")}
        self.reports: list[str] = []
        self.questions: list[str] = []
        self.says_yes = False
        self.requests: list[str] = []
        self.actions: list[dict[str, object]] = []
        self.action_answers: dict[str, dict[str, Any]] = {}
        self.gateway_failure: StackError | None = None
        self.now = 0.0
        self.date = datetime(2027, 1, 1, tzinfo=UTC)
        self._files, self._machine, self._runtimes = FakeFiles(self), FakeMachine(self), FakeRuntimes(self)
        self._network, self._terminal, self._clock = FakeNetwork(self), FakeTerminal(self), FakeClock(self)

    def find_environment(self, lock: Path) -> Path:
        """Folder of the environment that a lock file's service runs in."""
        return self.service_environments / f"{lock.parent.name}-{lock.stem}"

    @property
    def running(self) -> list[str]:
        """Names of all services that run, in either runtime."""
        return [name for runtime in self.runtimes.values() for name in runtime.states]

    @property
    def effects(self) -> Effects:
        """The world as operations see it; its seams are the same objects every time."""
        return Effects(
            paths=Paths(self.site, DATA_ROOT, Path("/cache"), self.python, self.launcher),
            given=Given(self.environment, self.flags),
            files=self._files,
            machine=self._machine,
            engines=self.engines,
            runtimes=self._runtimes,
            network=self._network,
            terminal=self._terminal,
            clock=self._clock,
        )


def raised_by(job: Callable[[], object]) -> StackError:
    """The error that a job ends with; fails when it ends well."""
    try:
        job()
    except StackError as error:
        return error
    raise AssertionError("expected an error, and the job ended well")
