"""One checked file of a model, as 'models verify' shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackctl.errors import Finding, Severity


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file and what was found wrong with it.

    Attributes:
        path: path of the file, relative to the models folder where it lies in it.
        sha256: digest of the file; empty where nothing was there to compare with, or it cannot be read.
        compared_with: what the digest was compared with: ``record``, ``catalog``, ``hub``, or nothing.
    """

    path: str
    size_bytes: int
    sha256: str
    compared_with: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Severity:
        """The worst of its findings."""
        found = {finding.severity for finding in self.findings}
        return next((level for level in (Severity.ERROR, Severity.WARNING) if level in found), Severity.OK)


def show_path(path: Path, folder: Path) -> str:
    """A path as it is shown: relative to the models folder where it lies in it."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
