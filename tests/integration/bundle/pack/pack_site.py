"""A site that packs bundles, as a user runs ``stackctl offline-pack``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl.core.settings.dotenv import set_values
from tests.gguf_files import write_model
from tests.integration.stack_site import STACKCTL, clean_environment

MIB = 1024 * 1024
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class PackSite:
    """A site whose bundles are made in one folder."""

    folder: Path
    out: Path

    def set(self, **values: str) -> None:
        """Change its ``.env``."""
        path = self.folder / ".env"
        path.write_text(set_values(path.read_text(), values))

    def build_argv(self, *options: str, out: Path | None = None) -> list[str]:
        """The command line of a pack."""
        pack = ("offline-pack", "--out", str(out or self.out), "--python", PYTHON, "--part-size", "65m")
        return [*STACKCTL, "--site", str(self.folder), *pack, *options]

    def run(
        self, *options: str, out: Path | None = None, environment: Mapping[str, str] | None = None, umask: int = 0o022
    ) -> subprocess.CompletedProcess[str]:
        """Pack."""
        return subprocess.run(
            self.build_argv(*options, out=out),
            capture_output=True,
            text=True,
            env=clean_environment(**(environment or {})),
            umask=umask,
            timeout=300,
            check=False,
        )

    def pack(self, *options: str, **keywords: Any) -> dict[str, Any]:
        """Pack and expect success; the result as JSON."""
        done = self.run(*options, "--json", **keywords)
        assert done.returncode == 0, done.stderr
        value = json.loads(done.stdout)
        assert isinstance(value, dict)
        return value

    def list_bundles(self) -> list[str]:
        """Names of what a reader would take for bundles."""
        return sorted(path.name for path in self.out.iterdir() if not path.name.startswith("."))


def add_model(site: PackSite, name: str = "big.gguf", size: int = 150 * MIB) -> Path:
    """A model larger than two parts, and the one that is served."""
    path = write_model(site.folder / "models" / name, vocabulary=size // 64 // 4)
    site.set(CHAT_MODEL=name)
    return path


def list_content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and mode of every file of a bundle."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
