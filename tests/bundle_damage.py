"""What tests of reading need: a bundle with all kinds of content, a changed byte, proof that nothing else changed."""

from __future__ import annotations

from pathlib import Path

from stackctl.core.bundle.format.manifest import Manifest
from tests.bundle_builder import ImageBytes, build_bundle, make_bytes

MODEL = make_bytes("model", 90_000)
FILES = {"config/stack.yml": b"models: {}\n", "wheels/a-1.whl": b"wheel"}


def build_full_bundle(folder: Path, **content: object) -> Manifest:
    """A signed bundle of two parts with files, a model, an image and bootstrap files."""
    defaults: dict[str, object] = {
        "files": FILES,
        "models": {"chat": MODEL},
        "images": [ImageBytes("api-gateway", [{"bin/run": b"1"}, {"etc/x": b"2"}])],
        "bootstrap": {"install.sh": b"#!/bin/sh\n", "wheels/b.whl": b"b"},
    }
    return build_bundle(folder, **defaults | content)  # type: ignore[arg-type]


def flip_byte(path: Path, position: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def take_snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of everything below a folder."""
    paths = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return {
        str(path): (status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path, status in paths
    }
