"""Install hashed lock files, or this checkout itself, into the environment that runs this script, with uv.

In: lock files, or ``--checkout``. uv is told what pip is told on this machine (index, certificates), because it
reads neither pip's variables nor its files. Needs nothing but uv.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stackctl.adapters.process.pip_settings import find_installer_settings


def main() -> int:
    """Run uv and pass on its exit code."""
    environment = {**os.environ, **find_installer_settings("")}
    uv = str(Path(sys.executable).parent / "uv")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if sys.argv[1:] == ["--checkout"]:
        command += ["--no-deps", "--no-build-isolation", "--editable", "."]
    else:
        # A lock names everything: what a package asks for beyond it is not looked up, and cannot break what is pinned.
        command += [
            "--no-deps",
            "--require-hashes",
            *(part for lock in sys.argv[1:] for part in ("--requirements", lock)),
        ]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
