"""Run a command where no route out exists: a network namespace of its own, closed and watched. Linux only.

``run_isolated`` starts the command in new namespaces (util-linux's ``unshare``, so without root where the kernel lets
users make them). ``watch_namespace`` then runs in there: it turns every name lookup into a packet, covers the sockets
through which a lookup would leave the namespace unseen, and starts ``stackctl/programs/watch.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stackctl.adapters.machine.commands import run_command
from stackctl.adapters.process.supervisor import wait_until
from stackctl.core.proof.sightings import NAME_SERVER
from stackctl.errors import RuntimeFailure

READY_S = 20.0
# Ending every service takes its time; after this the command is killed.
STOP_S = 120.0
# Folders of name services that answer over a socket in a file, which no network namespace closes.
_ESCAPES = ("/run/systemd/resolve", "/run/nscd", "/run/avahi-daemon", "/run/dbus")
_HINT = "run it as root, or allow user namespaces (kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)"


@dataclass(frozen=True, slots=True)
class NamespaceWatch:
    """A running watch.

    Attributes:
        output: file of what the watch writes, complete once ``watch_namespace`` has ended.
    """

    output: Path

    def read(self) -> str:
        """All that the watch has written."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def check_namespaces() -> None:
    """Try whether this user can make the namespaces.

    Raises:
        RuntimeFailure: the kernel does not allow it, or this is no Linux.
    """
    done = run_command([*_build_unshare(), "true"], 10.0)
    if done.code:
        raise RuntimeFailure(
            f"No network of its own can be made to rehearse in: {done.stderr.strip() or done.code}.", _HINT
        )


def run_isolated(argv: Sequence[str], on_line: Callable[[str], None]) -> None:
    """Run a command in namespaces of its own, passing on the lines of its stdout.

    An interrupt ends it with SIGTERM, once, and waits until it has cleaned up.

    Raises:
        RuntimeFailure: no namespace could be made, or the command failed; has what it said on stderr.
    """
    check_namespaces()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*_build_unshare(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            env=_drop_proxies(os.environ),
            start_new_session=True,  # Ctrl-C is ours to pass on
        ) as process,
    ):
        try:
            _pass_on(process.stdout, on_line)
        except BaseException:
            process.send_signal(signal.SIGTERM)
            _wait_or_kill(process)
            raise
        process.wait()
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        message, _, hint = said.strip().removeprefix("error: ").partition("\nnext:")
        raise RuntimeFailure(f"The rehearsal could not be run: {message.strip()}", hint.strip())


@contextmanager
def watch_namespace(folder: Path, script: Path) -> Iterator[NamespaceWatch]:
    """Close the namespaces that this process is in, and watch them until the end.

    Args:
        folder: folder in which the watch may write.
        script: path of ``stackctl/programs/watch.py``.

    Raises:
        RuntimeFailure: the watch did not begin; has what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _redirect_lookups(folder)
    ready, output, errors = folder / "ready", folder / "watch.jsonl", folder / "watch.err"
    ready.unlink(missing_ok=True)
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(ready)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, READY_S)
        if not ready.exists():
            raise RuntimeFailure(
                f"The network could not be closed and watched: {errors.read_text().strip()[-500:]}", _HINT
            )
        yield NamespaceWatch(output)
    finally:
        process.terminate()
        _wait_or_kill(process)


def _build_unshare() -> list[str]:
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own_user, "--net", "--mount", "--"]


def _drop_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out the variables of a proxy, which is a route out that a site without a network does not have."""
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}


def _pass_on(lines: IO[str] | None, on_line: Callable[[str], None]) -> None:
    assert lines is not None
    for line in lines:
        on_line(line.rstrip("\n"))


def _wait_or_kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _redirect_lookups(folder: Path) -> None:
    """Make name lookups leave as packets; in this mount namespace alone.

    Without an /etc/resolv.conf the C library asks port 53 of loopback, which the watch sees as well.

    Raises:
        RuntimeFailure: a mount failed.
    """
    settings = folder / "resolv.conf"
    settings.write_text(f"nameserver {NAME_SERVER}\n")
    target = Path("/etc/resolv.conf").resolve()
    was_there = target.exists()
    for name in filter(os.path.isdir, _ESCAPES):
        _mount("-t", "tmpfs", "-o", "size=64k,mode=755", "none", name)
    if target.exists():
        _mount("--bind", str(settings), str(target))
    elif was_there:  # it was systemd-resolved's, in a folder that is covered now
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(settings.read_text())


def _mount(*arguments: str) -> None:
    done = run_command(["mount", *arguments], 10.0)
    if done.code:
        raise RuntimeFailure(f"A mount in the rehearsal's own namespace failed: {done.render_failure()}", _HINT)
