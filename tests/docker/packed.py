"""A bundle that tests packed, and what they do with its files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from tests.docker.sites import Site

PART_SIZE = "420m"  # just more than the gateway's largest layer
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle, and the site that it was packed from."""

    folder: Path
    source: Site
    public_key: Path

    @property
    def manifest(self) -> Manifest:
        """What it says it holds."""
        return parse_manifest((self.folder / "bundle.json").read_bytes(), "bundle.json")

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def pack(site: Site, key: Path, out: Path, *options: str) -> Packed:
    """Pack the site's stack."""
    argv = ("offline-pack", "--out", str(out), "--key", str(key), "--part-size", PART_SIZE, "--python", PYTHON)
    packed = json.loads(site.run_well(*argv, *options, "--json").stdout)
    assert not packed["unchanged"]
    return Packed(Path(packed["folder"]), site, key.with_suffix(".pub"))


def run_tool(*argv: str, cwd: Path | None = None) -> str:
    """What a program of others says, which must succeed."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def one_byte_changed(path: Path, offset: int) -> Iterator[None]:
    """Change a byte, and put it back."""
    with path.open("r+b") as file:
        file.seek(offset)
        (before,) = file.read(1)

        def write(value: int) -> None:
            file.seek(offset)
            file.write(bytes([value]))
            file.flush()

        write(before ^ 255)
        try:
            yield
        finally:
            write(before)
