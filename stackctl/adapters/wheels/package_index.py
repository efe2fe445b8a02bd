"""What a package index has for locked packages: asked through uv, so mirrors, proxies and logins are as it finds them.

In: locked packages and what pip is told on this machine. Out: file names, addresses and digests. Does I/O: runs uv.
Nothing is built.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.adapters.machine.commands import stream_command
from stackctl.adapters.process.environments import find_installer
from stackctl.core.bundle.pack.lock_file import LockEntry
from stackctl.core.bundle.pack.wheel_choice import (
    GLIBC_MINOR,
    Wheel,
    choose_wheel,
    explain_refusal,
    find_refused,
    parse_listing,
    rank_tags,
    render_project,
)
from stackctl.core.stack.runtime import CompletedCommand
from stackctl.errors import RuntimeFailure

INDEX_HINT = "check that the package index is reachable; PIP_INDEX_URL names a mirror, PIP_CERT its CA"


@dataclass(frozen=True, slots=True)
class Choice:
    """The wheels that one version of Python installs.

    Attributes:
        wheels: one wheel of each package that has one, in the packages' order.
        missing: packages that have no wheel.
    """

    wheels: tuple[Wheel, ...]
    missing: tuple[LockEntry, ...]


def choose_wheels(entries: Sequence[LockEntry], python: str, machine: str, settings: Mapping[str, str]) -> Choice:
    """Ask the index for the wheels of these packages.

    uv stops at the first package that the index does not have, so it is asked again without that package.

    Args:
        settings: variables for uv, as ``find_installer_settings`` finds them.

    Raises:
        RuntimeFailure: the index did not answer, or refused the login.
    """
    wanted, missing = list(entries), list[LockEntry]()
    listing: dict[str, tuple[Wheel, ...]] = {}
    while wanted:
        done, text = _ask(wanted, python, machine, settings)
        if not done.code:
            listing = parse_listing(text)
            break
        refused = find_refused(wanted, done.stderr)
        reason = explain_refusal(done.stderr.splitlines())
        if not refused or "hint: An index" in done.stderr:
            raise RuntimeFailure(f"The wheels for Python {python} could not be found: {reason}.", INDEX_HINT)
        missing += refused
        wanted = [entry for entry in wanted if entry not in refused]
    tags = rank_tags(python, machine)
    found = {entry: choose_wheel(entry, listing.get(entry.key, ()), tags) for entry in wanted}
    missing += [entry for entry, wheel in found.items() if wheel is None]
    ordered = tuple(entry for entry in entries if entry in missing)
    return Choice(tuple(wheel for wheel in found.values() if wheel is not None), ordered)


def _ask(
    entries: Sequence[LockEntry], python: str, machine: str, settings: Mapping[str, str]
) -> tuple[CompletedCommand, str]:
    """Run uv once: the finished command, and the listing that it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        project, answer = Path(folder) / "pyproject.toml", Path(folder) / "pylock.toml"
        project.write_text(render_project(entries, python), encoding="utf-8")
        argv = [find_installer(), "pip", "compile", "--directory", folder, "--quiet", "--no-header"]
        argv += ["--no-deps", "--no-build", "--format", "pylock.toml", "--output-file", str(answer)]
        argv += ["--python", sys.executable, "--python-version", python]
        argv += ["--python-platform", f"{machine}-manylinux_2_{GLIBC_MINOR}", str(project)]
        # uv folds its sentences to the terminal that COLUMNS speaks of, and they are read here.
        done = stream_command(argv, lambda line: None, {**settings, "COLUMNS": "100000"})
        return done, answer.read_text(encoding="utf-8") if answer.is_file() else ""
