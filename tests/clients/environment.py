"""Clients that are written for Node, for tests: ``python -m tests.clients.environment`` installs them.

They have 600 MB, so they lie in the user's cache and not in the checkout, once for each content of the lock. Of their
scripts only those run that put a program for this system in its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
FILES = ("package.json", "package-lock.json")
SCRIPTS = ("@anthropic-ai/claude-code/install.cjs", "opencode-ai/postinstall.mjs")
_MARKER = ".complete"
# Not "ci": the lock need not name the programs of other systems, which some of the packages have.
INSTALL = ("npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")


def find_environment() -> Path:
    """Folder of the packages, whether they are there or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = b"".join((FOLDER / name).read_bytes() for name in FILES)
    return cache / "stackctl" / "clients" / hashlib.sha256(content).hexdigest()[:16]


def find_programs() -> Path | None:
    """The folder of their programs; None where they were not installed."""
    folder = find_environment()
    return folder / "node_modules" / ".bin" if (folder / _MARKER).is_file() else None


def make_environment() -> Path:
    """Install what the lock names; the folder."""
    folder = find_environment()
    if find_programs():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(FOLDER / name, folder)
    subprocess.run(INSTALL, cwd=folder, check=True)
    for script in SCRIPTS:
        path = folder / "node_modules" / script
        subprocess.run(["node", path.name], cwd=path.parent, check=True)
    (folder / _MARKER).touch()
    return folder


if __name__ == "__main__":
    if shutil.which("npm") is None:
        sys.exit("there is no npm here: install Node 20 or newer with it, and run this again")
    sys.stdout.write(f"the clients for Node are in {make_environment()}\n")
