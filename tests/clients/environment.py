"""Clients for tests, each environment of its own: ``python -m tests.clients.environment [NAME ...]`` installs them.

They have 5 GB, so they lie in the user's cache and not in the checkout, once for each content of a lock. Of the
scripts of npm's packages only those run that put a program for this system in its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stackctl.adapters.process.environments import find_installer
from stackctl.adapters.process.pip_settings import find_installer_settings

FOLDER = Path(__file__).parent / "environments"
NPM_FILES, PIP_FILES = ("package.json", "package-lock.json"), ("requirements.lock",)
SCRIPTS = ("@anthropic-ai/claude-code/install.cjs", "opencode-ai/postinstall.mjs", "cline/postinstall.mjs")
# Holds Node itself: some clients want a newer one than systems have.
NODE = "node"
# The first Python that a client does not install on.
TOO_NEW = {"aider": (3, 13)}
_MARKER = ".complete"
# Not "ci": the lock need not name the programs of other systems, which some of the packages have.
_NPM = ("npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")


def list_environments() -> list[str]:
    """Names of those that can be installed with this Python."""
    found = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
    return [name for name in found if sys.version_info[:2] < TOO_NEW.get(name, (4, 0))]


def find_environment(name: str) -> Path:
    """Folder of the packages, whether they are there or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = b"".join((FOLDER / name / file).read_bytes() for file in _list_files(name))
    content += b"" if _is_npm(name) else sys.version.encode()
    return cache / "stackctl" / "clients" / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"


def find_programs(name: str) -> Path | None:
    """The folder of their programs; None where they were not installed."""
    folder = find_environment(name)
    programs = folder / "node_modules" / ".bin" if _is_npm(name) else folder / "bin"
    return programs if (folder / _MARKER).is_file() else None


def find_path() -> str:
    """``PATH`` for clients that are written for Node: ours before the system's, where there is one for this machine."""
    ours = [str(path) for path in find_environment(NODE).glob("node_modules/node-*/bin")]
    return os.pathsep.join([*ours, os.environ["PATH"]])


def make_environment(name: str) -> Path:
    """Install what the lock names; the folder."""
    folder = find_environment(name)
    if find_programs(name):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    (_install_npm if _is_npm(name) else _install_pip)(name, folder)
    (folder / _MARKER).touch()
    return folder


def _install_npm(name: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in NPM_FILES:
        shutil.copy(FOLDER / name / file, folder)
    subprocess.run(_NPM, cwd=folder, check=True)
    for script in SCRIPTS:
        path = folder / "node_modules" / script
        if path.is_file():
            subprocess.run(["node", path.name], cwd=path.parent, check=True)


def _install_pip(name: str, folder: Path) -> None:
    uv, python = find_installer(), str(folder / "bin" / "python")
    locked = ("--no-deps", "--require-hashes", "--requirements", str(FOLDER / name / "requirements.lock"))
    for argv in (
        [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", python, *locked],
    ):
        subprocess.run(argv, env={**os.environ, **find_installer_settings("")}, check=True)


def _is_npm(name: str) -> bool:
    return (FOLDER / name / "package.json").is_file()


def _list_files(name: str) -> tuple[str, ...]:
    return NPM_FILES if _is_npm(name) else PIP_FILES


if __name__ == "__main__":
    if shutil.which("npm") is None:
        sys.exit("there is no npm here: install Node 20 or newer with it, and run this again")
    for wanted in sys.argv[1:] or list_environments():
        sys.stdout.write(f"{wanted}: {make_environment(wanted)}\n")
        sys.stdout.flush()
