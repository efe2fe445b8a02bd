"""The gateway as a process of its own, beside the running stack: for drills.

In: command, configuration and environment. Out: its address while a block runs. Does I/O: a temporary folder, one
process on a free port of loopback, which is stopped at the end.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackctl.adapters.http.service_calls import fetch
from stackctl.adapters.process.supervisor import load_passed_environment
from stackctl.core.text.log_lines import write_log_line
from stackctl.errors import RuntimeFailure

_LOOPBACK = "127.0.0.1"
_READY_PATH = "/health/readiness"
_START_S, _STOP_S, _POLL_S = 120.0, 30.0, 0.05
_QUOTED_LINES = 12


@dataclass(frozen=True, slots=True)
class DrillGateway:
    """A running gateway.

    Attributes:
        key: opens its routes; ``admin_key`` its state, too.
        log: path of what it prints.
    """

    url: str
    key: str
    admin_key: str
    pid: int
    log: Path


@contextmanager
def run_drill_gateway(
    command: Sequence[str], configuration: str, environment: Mapping[str, str]
) -> Iterator[DrillGateway]:
    """Run a gateway with this configuration until the end of the block.

    Args:
        command: what starts it.
        environment: its variables beside address, configuration and keys.

    Raises:
        RuntimeFailure: it cannot be started, or does not get ready; has the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="stackctl-drill-") as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(configuration, encoding="utf-8")
        port, key, admin_key = _find_port(), secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        variables = {
            **load_passed_environment(),
            "GATEWAY_HOST": _LOOPBACK,
            "GATEWAY_PORT": str(port),
            "GATEWAY_CONFIG": str(folder / "config.yaml"),
            "GATEWAY_KEY": key,
            "GATEWAY_ADMIN_KEY": admin_key,
            "HOME": name,
            **environment,
        }
        log = folder / "gateway.log"
        with _run_process(command, variables, log) as process:
            gateway = DrillGateway(f"http://{_LOOPBACK}:{port}", key, admin_key, process.pid, log)
            _wait_ready(gateway, process)
            yield gateway


def _find_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _run_process(command: Sequence[str], variables: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(command),
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                process_group=0,
            )
    except OSError as error:
        raise RuntimeFailure(f"The gateway cannot be started: {error}.", "run 'stackctl up' once") from error
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(gateway: DrillGateway, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while fetch(gateway.url + _READY_PATH, timeout_s=1.0).status != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            ended = (
                f"ended with code {process.poll()}" if process.poll() is not None else f"is not ready in {_START_S:g} s"
            )
            lines = gateway.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_QUOTED_LINES:]
            quoted = "\n".join(f"    {write_log_line(line)}" for line in lines)
            raise RuntimeFailure(f"The gateway of the drill {ended}:\n{quoted}", "run it again with --debug")
        time.sleep(_POLL_S)
