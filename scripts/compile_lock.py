"""Resolve one lock file: ``compile_lock.py OUT SOURCE [uv options]``. Hashes, every platform, no index addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stackctl.adapters.process.pip_settings import find_installer_settings


def main() -> int:
    """Run uv and pass on its exit code."""
    out, source, *options = sys.argv[1:]
    uv = str(Path(sys.executable).parent / "uv")
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
               "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", source,
               "--output-file", out, *options]  # fmt: skip
    return subprocess.run(command, env={**os.environ, **find_installer_settings("")}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
