"""Why an image build failed, from what ``docker build --progress=plain`` printed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FRAME = re.compile(r"^-{6}\n > (?P<step>.*?):?\n(?P<lines>.*?)^-{6}$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"^\d+\.\d+ ")
_MOST_LINES = 10
_MOST_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class BuildFailure:
    """How a failed build ended.

    Attributes:
        step: step that failed, as BuildKit names it: ``[build 3/5] RUN pip install ...``; empty when no step did.
        lines: last lines that the build printed, at least one.
    """

    step: str
    lines: tuple[str, ...]

    @property
    def cause(self) -> str:
        """The line that most likely says why: the last one that speaks of an error, or the last one."""
        return next((line for line in reversed(self.lines) if "error" in line.lower()), self.lines[-1]).strip()


def parse_build_failure(output: str) -> BuildFailure:
    """Find the failing step and its last lines.

    BuildKit repeats both between two rules when it ends; what follows quotes the Dockerfile and says the exit code.
    Without them (an unknown option, no Docker engine) the end of the output is taken.
    """
    frames = list(_FRAME.finditer(output))
    step = " ".join(frames[-1]["step"].split()) if frames else ""
    if len(step) > _MOST_CHARACTERS:
        step = step[: _MOST_CHARACTERS - 1] + "…"
    said = [_TIME.sub("", line) for line in (frames[-1]["lines"] if frames else "").splitlines() if line.strip()]
    lines = said or [line for line in output.splitlines() if line.strip()]
    return BuildFailure(step, tuple(lines[-_MOST_LINES:]) or ("it printed nothing",))
