"""The examples of a guide, run as a reader would: its blocks of shell and Python, at the services of a test.

Does I/O: runs them. What differs at a test is its ports alone, which stand in the guide as the defaults.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.integration.stack_site import COMMAND_TIMEOUT_S, REPOSITORY, clean_environment
from tests.programs import require_program

_BLOCK = re.compile(r"^```(sh|python|json)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One block.

    Attributes:
        language: ``sh``, ``python`` or ``json``.
    """

    language: str
    text: str

    def run(self, folder: Path, ports: Mapping[int, int], variables: Mapping[str, str], stdin: str = "") -> str:
        """Run it in this folder; returns what it printed.

        Args:
            ports: of this machine, by those of the guide.

        Raises:
            AssertionError: a command failed, or a server refused what curl asked for.
        """
        text = self.text
        for port, here in ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{here}")
        # curl says where it was refused.
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n", encoding="utf-8")
        programs = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        argv = {"sh": [require_program("bash", "bash"), "-eu", "-c", text], "python": [sys.executable, "-c", text]}
        done = subprocess.run(
            argv[self.language],
            cwd=folder,
            env=clean_environment(PATH=programs, CURL_HOME=str(folder), **variables),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{self.text}\nexit {done.returncode}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


def read_examples(guide: str) -> list[Example]:
    """Those of ``docs/guides/GUIDE.md`` in their order."""
    text = (REPOSITORY / "docs" / "guides" / f"{guide}.md").read_text(encoding="utf-8")
    return [Example(*found) for found in _BLOCK.findall(text)]
