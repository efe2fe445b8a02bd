"""Lock environments of clients again: ``python -m tests.clients.lock [NAME ...]``. Hashes, and no index addresses.

npm's own lock says much that an installation does not need; what is kept stands on one line for each package.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.clients.environment import FOLDER, list_environments

# What an installation does not look at.
_LEFT_OUT = frozenset({"resolved", "license", "engines", "funding", "deprecated"})
_LOCK = ("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")


def compact(lock: dict[str, object]) -> str:
    """A lock of npm with one line a package."""
    packages = lock["packages"]
    assert isinstance(packages, dict)
    lines = [
        f"    {json.dumps(path)}: {json.dumps({name: value for name, value in facts.items() if name not in _LEFT_OUT})}"
        for path, facts in packages.items()
    ]
    head = json.dumps({"name": lock["name"], "lockfileVersion": lock["lockfileVersion"], "requires": True})
    return f'{head[:-1]},\n  "packages": {{\n' + ",\n".join(lines) + "\n  }\n}\n"


def lock(folder: Path) -> None:
    """Resolve what the folder's file asks for."""
    if (folder / "requirements.in").is_file():
        script = Path(__file__).parents[2] / "scripts" / "compile_lock.py"
        files = (str(folder / "requirements.lock"), str(folder / "requirements.in"))
        subprocess.run([sys.executable, str(script), *files], check=True)
        return
    environment = {**os.environ, "npm_config_omit_lockfile_registry_resolved": "true"}
    subprocess.run(_LOCK, cwd=folder, env=environment, check=True)
    path = folder / "package-lock.json"
    path.write_text(compact(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or list_environments():
        lock(FOLDER / wanted)
