"""``stackctl`` and other programs as an operator runs them, each to its end, and the settings of their site."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.settings.dotenv import set_values

# For a machine with nothing in its caches and much else to do; a good run needs a tenth.
COMMAND_DEADLINE_S = 900.0


@dataclass(frozen=True, slots=True)
class Done:
    """A finished command."""

    argv: Sequence[str]
    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr

    def expect_success(self) -> Done:
        """The same command, which must have succeeded."""
        assert self.code == 0, f"{' '.join(self.argv)} ended with {self.code}:\n{self.text[-6000:]}"
        return self


def run_to_end(argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> Done:
    """Run a command in a folder, whatever its exit code."""
    done = subprocess.run(
        argv,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE_S,
        check=False,
    )
    return Done(argv, done.returncode, done.stdout, done.stderr)


def change_settings(site: Path, settings: Mapping[str, object]) -> None:
    """Change settings in a site's `.env`, or make one."""
    path = site / ".env"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.write_text(set_values(text, {name: str(value) for name, value in settings.items()}), encoding="utf-8")
