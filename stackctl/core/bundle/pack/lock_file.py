"""Hashed lock files: their entries, and which of them a Python version needs.

In: a lock's text, as ``uv pip compile --universal --generate-hashes`` writes it. Out: frozen values and text. Pure.

Source: PEP 508 (environment markers); pip, "Secure installs" (--hash).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name

from stackctl.errors import ConfigError

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;]+)\s*(?:;\s*(?P<marker>.+?))?\s*")
_HASH = re.compile(r"\s--hash=sha256:([0-9a-f]{64})(?=\s|$)")


@dataclass(frozen=True, slots=True)
class LockEntry:
    """One pinned package.

    Attributes:
        marker: where the package is needed, as PEP 508 writes it; empty for everywhere.
        hashes: SHA-256 (hexadecimal) of every file that may be installed for the package.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def __str__(self) -> str:
        """The package as installers name it."""
        return f"{self.name}=={self.version}"

    @property
    def key(self) -> str:
        """The package's name as an index has it."""
        return canonicalize_name(self.name)


def parse_lock(text: str, subject: str) -> tuple[LockEntry, ...]:
    """Read a lock file.

    Args:
        subject: name of the file in errors.

    Raises:
        ConfigError: an entry is not pinned, has no SHA-256, or has an unreadable marker.
    """
    lines = re.sub(r"\\\n", " ", text).splitlines()
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines)
    return tuple(_parse_entry(line, subject) for line in stripped if line)


def select_entries(entries: Iterable[LockEntry], python: str, machine: str) -> tuple[tuple[LockEntry, ...], ...]:
    """The packages that a Python version needs on Linux: one selection, or two where the patch release decides.

    Args:
        python: version such as ``3.12``; every patch release of it is served.
        machine: processor: ``x86_64`` or ``aarch64``.
    """
    listed = tuple(entries)
    selections = []
    for full in (f"{python}.0", f"{python}.99"):
        environment = _describe_target(python, full, machine)
        selections.append(tuple(e for e in listed if not e.marker or Marker(e.marker).evaluate(environment)))
    return tuple(dict.fromkeys(selections))


def _parse_entry(line: str, subject: str) -> LockEntry:
    head = _HASH.sub("", f"{line} ").strip()
    match = _ENTRY.fullmatch(head)
    hashes = tuple(sorted(set(_HASH.findall(f"{line} "))))
    if not match or not hashes:
        raise ConfigError(
            f"{subject} has an entry that is not pinned with its hash: {line[:80]!r}.", "compile it again: make lock"
        )
    marker = match["marker"] or ""
    try:
        if marker:
            Marker(marker)
    except InvalidMarker as error:
        raise ConfigError(f"{subject}: the marker of {match['name']} cannot be read: {marker}.") from error
    return LockEntry(match["name"], match["version"], marker, hashes)


def _describe_target(python: str, full: str, machine: str) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": python,
        "sys_platform": "linux",
    }
