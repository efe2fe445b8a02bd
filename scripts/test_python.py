"""Run tests on a newer Python that Debian brings: ``test_python.py 3.14 [what pytest takes]``, by default tests/unit.

The locks are installed for that Python here, each package by its hash and as a wheel; the tests run in a container of
``scripts/test-images.sh`` without a network and with this checkout read-only. Needs a Docker engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stackctl.adapters.process.pip_settings import find_installer_settings

CHECKOUT = Path(__file__).resolve().parent.parent
IMAGE = os.environ.get("STACK_TEST_PYTHONS_IMAGE", "stack-test/newer-pythons:test")
PREPARE = 'scripts/docker-engine.sh start; PATH="$(scripts/docker-engine.sh path):$PATH"; scripts/test-images.sh build'
RUN = """
python=$1; shift
"python$python" -m venv --without-pip /venv
echo /packages >"/venv/lib/python$python/site-packages/packages.pth"
/venv/bin/python --version
exec /venv/bin/python -m pytest -p no:cacheprovider "$@"
"""


def main() -> int:
    """Pass on the exit code of the first command that failed, or of pytest."""
    version, *tests = sys.argv[1:]
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode
    ):
        print(f"error: no Docker engine with the image {IMAGE} answers\nnext:  {PREPARE}", file=sys.stderr)
        return 5
    with tempfile.TemporaryDirectory() as packages:
        install = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps"]
        install += ["--python-version", version, "--python", sys.executable, "--target", packages]
        install += ["--require-hashes", "--only-binary", ":all:", "--requirements", "requirements-dev.lock"]
        installed = subprocess.run(
            install, cwd=CHECKOUT, env={**os.environ, **find_installer_settings("")}, check=False
        )
        if installed.returncode:
            return installed.returncode
        Path(packages).chmod(0o755)
        start = ["docker", "run", "--rm", "--init", "--network", "none", "--workdir", "/checkout"]
        start += ["--volume", f"{CHECKOUT}:/checkout:ro", "--volume", f"{packages}:/packages:ro"]
        start += ["--env", "PYTHONDONTWRITEBYTECODE=1", "--env", "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis", IMAGE]
        argv = [*start, "sh", "-eu", "-c", RUN, "sh", version, *(tests or ["--numprocesses", "auto", "tests/unit"])]
        return subprocess.run(argv, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
