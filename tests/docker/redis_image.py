"""An image that stands for Redis' official one: Debian's server in the tests' base image, made without a registry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.docker.sites import IMAGES
from tests.programs import require_program

REDIS_IMAGE = "stack-test/redis:test"
_PROGRAMS = ("redis-server", "redis-cli")
# Those of the base image are its own.
_BASE_LIBRARIES = ("libc.so", "libm.so", "ld-linux", "libstdc++", "libgcc_s")
_DOCKERFILE = f"""\
FROM {IMAGES["BASE_IMAGE"]}
COPY programs /usr/local/bin/
COPY libraries /opt/redis/
RUN echo /opt/redis > /etc/ld.so.conf.d/redis.conf && ldconfig && mkdir /data && chown 999:999 /data
"""


def build_redis_image(folder: Path) -> str:
    """Make the image in an empty folder; its name."""
    programs, libraries = folder / "programs", folder / "libraries"
    programs.mkdir()
    libraries.mkdir()
    for name in _PROGRAMS:
        program = Path(require_program(name, "redis-server")).resolve()
        shutil.copy(program, programs / name)
        for library in _list_libraries(program):
            shutil.copy(library, libraries / library.name)
    (folder / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
    subprocess.run(["docker", "build", "--quiet", "--tag", REDIS_IMAGE, str(folder)], check=True, capture_output=True)
    return REDIS_IMAGE


def _list_libraries(program: Path) -> list[Path]:
    lines = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    found = [Path(line.split()[2]) for line in lines if "=> /" in line]
    return [path for path in found if not path.name.startswith(_BASE_LIBRARIES)]
