"""Talk to one site's supervisord: start it, ask it, end it. The library's XML-RPC over its unix socket."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stackctl.adapters.commands import run_command
from stackctl.errors import RuntimeFailure

# supervisor.xmlrpc.Faults
ALREADY_STARTED = 60
NOT_RUNNING = 70

START_TIMEOUT_S = 15.0
POLL_S = 0.05

# What services may see of the caller's environment: where programs and devices are, how to reach a provider
# through a company's proxy. Nothing else, so a shell's variables never change what the stack does.
_PASSED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCM_PATH",
        "GGML_VK_VISIBLE_DEVICES",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    }
)


class ProtocolFault(Exception):
    """supervisord answered a call with a fault; ``code`` is its own, 0 when the answer was none of the protocol's."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Supervisor:
    """One supervisord, found by its socket.

    Args:
        config: the rendered configuration.
        socket: path of its control socket, in a folder of its own.
    """

    def __init__(self, config: Path, socket: Path) -> None:
        self._config = config
        self._socket = socket

    def is_running(self) -> bool:
        """Whether a supervisord answers at the socket."""
        try:
            return self._socket.exists() and bool(self.call("getPID"))
        except (OSError, ProtocolFault):
            return False

    def call(self, method: str, *arguments: Any) -> Any:
        """One call of supervisor's XML-RPC interface.

        Raises:
            OSError: nobody answers.
            ProtocolFault: it refused.
        """
        # Imported here: it takes 0.1 s, which a start has when supervisord is already on its way.
        from xmlrpc.client import Error, Fault, ServerProxy

        from supervisor.xmlrpc import SupervisorTransport

        # A transport serves one connection and one thread; health asks from several.
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            proxy = ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        except AttributeError as error:  # the library's transport on a socket that is gone
            raise ConnectionError(str(error)) from error
        except Fault as fault:
            raise ProtocolFault(fault.faultString, fault.faultCode) from fault
        except Error as error:
            raise ProtocolFault(str(error), 0) from error
        finally:
            transport.close()

    def start(self) -> None:
        """Start supervisord in the background and wait until it answers.

        Raises:
            RuntimeFailure: it did not start; with what it said.
        """
        self._make_socket_folder()
        environment = {k: v for k, v in os.environ.items() if k in _PASSED or k.startswith("LC_")}
        argv = [
            "env",
            "-i",
            *(f"{k}={v}" for k, v in sorted(environment.items())),
            sys.executable,
            "-I",
            "-m",
            "supervisor.supervisord",
            "-c",
            str(self._config),
        ]
        done = run_command(argv, START_TIMEOUT_S)
        if done.code:
            raise RuntimeFailure(
                f"The process supervisor did not start: {done.stderr.strip() or done.stdout.strip()}",
                "run 'stackctl doctor'",
            )
        if not wait_until(self.is_running, START_TIMEOUT_S):
            raise RuntimeFailure(
                f"The process supervisor does not answer at {self._socket}.", "run 'stackctl down', then 'up'"
            )

    def apply_config(self) -> list[str]:
        """Read the configuration again and start, restart or remove just what changed; names of what was started."""
        try:
            added, changed, removed = self.call("reloadConfig")[0]
        except ProtocolFault as fault:
            raise RuntimeFailure(
                f"The process supervisor refused its configuration: {fault}",
                "run 'stackctl render --check'",
            ) from fault
        for name in (*removed, *changed):
            self.call("stopProcessGroup", name)
            self.call("removeProcessGroup", name)
        for name in (*added, *changed):
            self.call("addProcessGroup", name)
        return [*added, *changed]

    def restart(self, name: str) -> None:
        """Stop the program if it runs, and start it without waiting for it to be ready."""
        self._ignoring(NOT_RUNNING, "stopProcess", name)
        self._ignoring(ALREADY_STARTED, "startProcess", name, False)

    def list_processes(self) -> list[dict[str, Any]]:
        """Supervisor's own facts of each program; empty when it does not run."""
        try:
            return list(self.call("getAllProcessInfo"))
        except (OSError, ProtocolFault):
            return []

    def shut_down(self, timeout_s: float) -> None:
        """End every program and supervisord itself, and wait until all are gone.

        Raises:
            RuntimeFailure: something outlived the time-out; names the process.
        """
        pids = [
            int(self.call("getPID")),
            *(int(item["pid"]) for item in self.list_processes() if item["pid"]),
        ]
        self.call("shutdown")
        if not wait_until(lambda: not any(_is_alive(pid) for pid in pids), timeout_s):
            left = ", ".join(str(pid) for pid in pids if _is_alive(pid))
            raise RuntimeFailure(
                f"Processes of the stack are still there after {timeout_s:g} s: {left}.",
                f"look at them with 'ps -fp {left}'",
            )

    def _ignoring(self, code: int, method: str, *arguments: Any) -> None:
        try:
            self.call(method, *arguments)
        except ProtocolFault as fault:
            if fault.code != code:
                raise RuntimeFailure(
                    f"The process supervisor refused {method} {arguments[0]}: {fault}",
                    "run 'stackctl status'",
                ) from fault

    def _make_socket_folder(self) -> None:
        """A folder that only this user can enter; anything else at that place is refused."""
        folder = self._socket.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise RuntimeFailure(
                f"{folder} is not a folder that only this user can enter.", f"remove it: rm -r {folder}"
            )


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask until the condition holds; ``False`` when it did not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet collected by its parent does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return text.rsplit(")", 1)[-1].split()[0] not in "ZX"
