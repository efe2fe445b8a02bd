"""Virtual environments of the process runtime, one for each lock file, made by uv and shared between sites.

Does I/O. An environment's folder is named by the hash of what it is made from, so a changed lock makes a new one and an
existing one is never touched.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from uv import find_uv_bin

from stackctl.adapters.machine.commands import count_stops, run_command, stream_command
from stackctl.adapters.process.pip_settings import find_installer_settings
from stackctl.core.text.failures import find_hint
from stackctl.errors import RuntimeFailure

_MARKER = "complete"
_POLL_S = 0.1
# The certificates are never needed here; named, they keep uv from warning of UV_NATIVE_TLS where a machine sets it.
OFFLINE_SETTINGS = {
    "UV_NO_PROGRESS": "true",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_CONFIG": "true",
    "UV_SYSTEM_CERTS": "true",
}
# What the index is not to blame for.
_LOCAL_CAUSES = (errno.EMFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def find_environment(cache_dir: Path, lock: Path, variables: Mapping[str, str]) -> Path:
    """Folder of the environment for this lock file, whether it exists or not."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    built_with = [path.read_text() for path in _list_build_locks(lock)]
    content = "\0".join([version, lock.read_text(), *built_with, *(f"{k}={v}" for k, v in sorted(variables.items()))])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return cache_dir / "envs" / f"{lock.parent.name}-{digest}"


def _list_build_locks(lock: Path) -> list[Path]:
    """The lock of the tools that build sources, where the folder has one: else a build takes the index's newest."""
    path = lock.with_name("requirements-build.lock")
    return [path] if path.is_file() else []


def is_complete(environment: Path) -> bool:
    """Whether the environment was made to the end and is whole: its interpreter runs, its packages are all there.

    An interpreter goes when its system is upgraded or a checkout is moved, and packages go when a disk is tidied.
    """
    try:
        made = (environment / _MARKER).read_text(encoding="utf-8").split()
    except OSError:
        return False
    content = _describe_content(environment).split()
    return bool(content) and made == content[: len(made)]  # an earlier version noted less, and services may run in it


def _describe_content(environment: Path) -> str:
    """Python's version, number of packages and of what they put there: ``3.11 87 195``; empty where it fails."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = run_command([str(environment / "bin" / "python"), "-I", "-S", "-c", script])
    version = done.stdout.strip()
    if done.code:
        return ""
    packages = environment / "lib" / f"python{version}" / "site-packages"
    names = [path.name for path in packages.glob("*") if path.name != "__pycache__"]  # which comes with the first run
    return f"{version} {sum(name.endswith('.dist-info') for name in names)} {len(names)}"


def find_installer() -> str:
    """Path of the uv that was installed with this program.

    Beside the interpreter first: uv's own search ends in a TypeError where Python does not know the ending of
    executables, as in an environment that uv itself made from Debian's Python 3.11.
    """
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else find_uv_bin()


def make_environment(
    environment: Path,
    lock: Path,
    variables: Mapping[str, str],
    index_url: str,
    on_line: Callable[[str], None],
    wheels: Path | None = None,
) -> None:
    """Make the environment from its hashed lock file, or do nothing when it is there.

    Args:
        wheels: folder that all packages come from, instead of a package index.

    Raises:
        RuntimeFailure: the installer failed; has the end of its output.
    """
    if is_complete(environment):
        return
    with wait_for_lock(environment.with_name(environment.name + ".lock"), on_line):
        if is_complete(environment):
            return
        shutil.rmtree(environment, ignore_errors=True)
        settings = OFFLINE_SETTINGS if wheels else find_installer_settings(index_url)
        settings = {**settings, **variables}
        for argv in _list_steps(environment, lock, wheels):
            done = stream_command(argv, on_line, settings)
            if done.code:
                shutil.rmtree(environment, ignore_errors=True)
                said = done.render_failure()
                message = f"The environment of {lock.parent.name} could not be installed: {said}"
                raise RuntimeFailure(message, _find_hint(said, wheels))
        (environment / _MARKER).write_text(_describe_content(environment), encoding="utf-8")


@contextmanager
def wait_for_lock(path: Path, on_line: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of something that sites share: one of them makes it, the others wait and find it made."""
    with _open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_line(f"another stackctl makes {path.stem}; waiting for it")
            _wait_in_turns(file, path)
        yield


def _find_hint(said: str, wheels: Path | None) -> str:
    """What to do about a failed installation: about this machine where the installer names its limit or its disk."""
    for number in _LOCAL_CAUSES:
        if os.strerror(number) in said:
            return find_hint(OSError(number, ""))
    if wheels:
        return f"the release's wheels are in {wheels}; run its bootstrap/install.sh if stackctl is another version"
    return "check that the package index is reachable; PIP_INDEX_URL names a mirror, PIP_CERT its CA"


def _open_lock(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path.open("a")
    except OSError as error:
        hint = "set XDG_CACHE_HOME to a folder that this user may write"
        raise RuntimeFailure(
            f"What the stack needs cannot be put into {path.parent}: {error.strerror}.", hint
        ) from error


def _wait_in_turns(file: IO[str], path: Path) -> None:
    """Ask for the lock again and again: a thread that slept in the kernel would not hear that its job is over."""
    stops = count_stops()
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if count_stops() != stops:
                raise RuntimeFailure(f"Waiting for {path.stem} was given up.", "run it again") from None
            time.sleep(_POLL_S)
        else:
            return


def _list_steps(environment: Path, lock: Path, wheels: Path | None) -> tuple[list[str], list[str]]:
    """The two commands that make an environment."""
    uv, python = find_installer(), str(environment / "bin" / "python")
    source = ["--offline", "--no-index", "--find-links", str(wheels)] if wheels else []
    source += [part for path in _list_build_locks(lock) for part in ("--build-constraints", str(path))]
    install = ["--python", python, "--require-hashes", "--no-deps", *source, "--requirements", str(lock)]
    return (
        [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)],
        [uv, "pip", "install", *install],
    )
