"""Values that pass between operations and the runtimes: states, commands, answers. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from stackctl.core.stack.names import (
    COMPOSE_FILE,
    GATEWAY_CONFIG,
    GPU_OVERLAYS,
    OVERRIDE_FILE,
    RELAY_FILE,
    SUPERVISOR_FILE,
)

if TYPE_CHECKING:
    from stackctl.core.machine.host import RuntimeName
    from stackctl.core.stack.render import RenderedFiles
    from stackctl.core.stack.stack import Service, Stack


class Phase(StrEnum):
    """What a service is doing, in terms that hold for both runtimes."""

    RUNNING = "running"
    STARTING = "starting"
    RESTARTING = "restarting"
    PAUSED = "paused"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What the runtime says of one service.

    Attributes:
        pid: id of the main process on this machine, 0 when it is not known.
        uptime_s: seconds since the last start.
        restarts: how often the service was started again after it died by itself.
        detail: the runtime's own words: exit code, health state.
        start: identity of the start that runs now: another one whenever the main process is another one; empty when
            nothing runs.
    """

    name: str
    phase: Phase
    detail: str = ""
    pid: int = 0
    uptime_s: float = 0.0
    restarts: int = 0
    start: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, or why there is none.

    Attributes:
        status: HTTP status, 0 when nothing answered.
        error: why nothing answered; empty when something did.
    """

    status: int
    body: str = ""
    error: str = ""
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """Part of a streamed answer.

    Attributes:
        text: the text of this piece; empty while the model thinks, and in the last piece.
        tokens: tokens of the whole answer, in its last piece, if the server counts them; 0 before.
    """

    text: str
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """A finished command; ``code`` 127 when there is no such program, 124 when it ran out of time."""

    argv: tuple[str, ...]
    code: int
    stdout: str = ""
    stderr: str = ""

    def render_failure(self) -> str:
        """The command, its exit code and the end of what it said."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()[-8:]
        return "\n".join([f"'{shlex.join(self.argv)}' ended with code {self.code}", *(f"    {line}" for line in lines)])


def read_probe(done: CompletedCommand) -> Answer:
    """What the probe of an app's service came to, as an answer: 200 with what it printed, or why there is none."""
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    last = said[-1] if said else f"the probe ended with code {done.code}"
    return Answer(200, last) if done.code == 0 else Answer(0, error=last)


@dataclass(frozen=True, slots=True)
class StartPlan:
    """All that a runtime needs to bring a stack to the wanted state.

    Attributes:
        runtime: runtime that this plan is for.
        services: services in that runtime's layout.
        gpu: "none", "nvidia", "amd" or "vulkan": what the engines are given.
        by_cdi: whether containers get NVIDIA's GPUs as CDI devices.
        secrets: secret variables and their values, by service.
        variables: values of the variables that the Compose file names.
        override: text of the site's own `compose.override.yml`; empty where there is none, or no containers.
    """

    runtime: RuntimeName
    stack: Stack
    services: tuple[Service, ...]
    rendered: RenderedFiles
    gpu: str
    secrets: Mapping[str, Mapping[str, str]] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    override: str = ""
    by_cdi: bool = False

    @property
    def files(self) -> dict[str, str]:
        """The files that this runtime starts from, text by file name; an override that is not there has none."""
        if self.runtime == "process":
            names = [SUPERVISOR_FILE, GATEWAY_CONFIG]
        else:
            names = [*self.compose_files, GATEWAY_CONFIG, RELAY_FILE]
        chosen = {name: self.rendered.files[name] for name in names}
        return chosen if self.runtime == "process" else {**chosen, OVERRIDE_FILE: self.override}

    @property
    def compose_files(self) -> tuple[str, ...]:
        """The rendered files that Compose reads, in their order."""
        overlay = "nvidia-cdi" if self.by_cdi and self.gpu == "nvidia" else self.gpu
        return (COMPOSE_FILE, *([GPU_OVERLAYS[overlay]] if self.gpu != "none" else []))
