"""Talk to one site's supervisord: start it, ask it, end it. The library's XML-RPC over its unix socket.

In: supervisor's configuration and socket. Out: facts of its programs. Does I/O: starts a process, calls over the
socket.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES, ENOENT, EROFS
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_NOFILE, RLIMIT_NPROC, getrlimit
from typing import Any

from stackctl.adapters.machine.commands import run_command
from stackctl.core.stack.names import SOCKET_ACCESS
from stackctl.core.text.failures import find_hint
from stackctl.errors import RuntimeFailure

# supervisor.xmlrpc.Faults
ALREADY_STARTED = 60
NOT_RUNNING = 70

START_TIMEOUT_S = 60.0
ANSWER_S = 5.0
# A program that is stopped has time to end by itself; the answer comes when it is gone.
STOP_ANSWER_S = 90.0
POLL_S = 0.05
# What supervisord says of a limit that is too low: (its words, the limit, ours, what to do).
_LIMITS = (
    (
        "minimum number of file descriptors",
        RLIMIT_NOFILE,
        "files may be open here, and it needs 1024",
        "raise the limit: ulimit -Hn 4096 as root, or of a container: docker run --ulimit nofile=4096",
    ),
    (
        "minimum number of available processes",
        RLIMIT_NPROC,
        "processes may run here for this user, and it needs 200",
        "raise the limit: ulimit -Hu 1000 as root, or of a container: docker run --ulimit nproc=1000",
    ),
)

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


def load_passed_environment() -> dict[str, str]:
    """What a service may see of the caller's environment."""
    return {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith("LC_")}


class ProtocolFault(Exception):
    """supervisord answered a call with a fault; ``code`` is its own, 0 when the answer broke the protocol."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Supervisor:
    """One site's supervisord.

    Attributes:
        config: path of the rendered configuration.
        socket: path of the control socket, which has a folder of its own.
    """

    config: Path
    socket: Path

    def find_pid(self) -> int:
        """Process id of the supervisord that answers at the socket; 0 when none does, or when it is going."""
        try:
            return int(self.call("getPID")) if self.socket.exists() else 0
        except (OSError, ProtocolFault):
            return 0

    def call(self, method: str, *arguments: Any, timeout_s: float = ANSWER_S) -> Any:
        """Call one method of supervisor's XML-RPC interface.

        Raises:
            OSError: supervisord does not answer.
            ProtocolFault: supervisord refused the call.
        """
        # Imported here: it takes 0.1 s, which a start has when supervisord is already on its way.
        from stackctl.adapters.process.unix_rpc import Error, Fault, connect

        try:
            with connect(self.socket, timeout_s) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except Fault as fault:
            raise ProtocolFault(fault.faultString, fault.faultCode) from fault
        except Error as error:
            raise ProtocolFault(str(error), 0) from error

    def start(self, folder: Path) -> None:
        """Start supervisord in the background and wait until it answers.

        Args:
            folder: working folder of supervisord, by which it is found again.

        Raises:
            RuntimeFailure: supervisord did not start; has what it said.
        """
        self._make_socket_folder()
        argv = [sys.executable, "-I", "-m", "supervisor.supervisord", "-c", str(self.config)]
        done = run_command(argv, START_TIMEOUT_S, load_passed_environment(), folder, is_alone=True)
        if done.code:
            raise _explain_start(done.stderr.strip() or done.stdout.strip())
        if not wait_until(lambda: self.find_pid() > 0, START_TIMEOUT_S):
            raise RuntimeFailure(
                f"The process supervisor does not answer at {self.socket}.", "run 'stackctl down', then 'up'"
            )

    def apply_config(self) -> list[str]:
        """Read the configuration again and start, restart or remove only what changed; names of what was started."""
        added, changed, removed = self._demand("reloadConfig")[0]
        for name in (*removed, *changed):
            self._demand("stopProcessGroup", name)
            self._demand("removeProcessGroup", name)
        for name in (*added, *changed):
            self._demand("addProcessGroup", name)
        return [*added, *changed]

    def restart(self, name: str) -> None:
        """Stop the program if it runs, and start it; does not wait until it is ready."""
        self._demand("stopProcess", name, ignored=NOT_RUNNING)
        self._demand("startProcess", name, False, ignored=ALREADY_STARTED)

    def list_processes(self) -> list[dict[str, Any]]:
        """supervisord's own facts of each program; empty when supervisord does not run."""
        try:
            return list(self.call("getAllProcessInfo"))
        except (OSError, ProtocolFault):
            return []

    def shut_down(self) -> bool:
        """Tell supervisord to end every program and itself; whether it answered. It takes a while to end after that."""
        try:
            return bool(self.socket.exists() and self.call("shutdown"))
        except (OSError, ProtocolFault):
            return False

    def _demand(self, method: str, *arguments: Any, ignored: int | None = None) -> Any:
        """Make a call that must succeed, apart from the fault that says that nothing was to do.

        Raises:
            RuntimeFailure: supervisord refused the call, or does not answer any more.
        """
        try:
            return self.call(method, *arguments, timeout_s=STOP_ANSWER_S)
        except ProtocolFault as fault:
            if fault.code == ignored:
                return None
            refused = f"refused {' '.join(map(str, (method, *arguments)))}: {fault}"
        except OSError as error:
            refused = f"does not answer any more: {error}"
        raise RuntimeFailure(f"The process supervisor {refused}", "run 'stackctl down', then 'stackctl up'")

    def _make_socket_folder(self) -> None:
        """Make a folder that only this user can enter; anything else at that place is refused."""
        folder = self.socket.parent
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            hint = SOCKET_ACCESS if error.errno in (EACCES, EROFS, ENOENT) else find_hint(error)
            raise RuntimeFailure(
                f"{folder} cannot be made for the supervisor's socket: {error.strerror}.", hint
            ) from error
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise RuntimeFailure(
                f"{folder} is not a folder that only this user can enter.", f"remove it: rm -r {folder}"
            )


def _explain_start(said: str) -> RuntimeFailure:
    """Why supervisord did not start; of a limit that is too low it names another number than that of this shell."""
    for words, kind, message, hint in _LIMITS:
        most = getrlimit(kind)[1]
        if words in said and most != RLIM_INFINITY:
            return RuntimeFailure(f"The process supervisor did not start: {most} {message}.", hint)
    return RuntimeFailure(f"The process supervisor did not start: {said}", "run 'stackctl doctor'")


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask until the condition holds; ``False`` when it did not hold within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
