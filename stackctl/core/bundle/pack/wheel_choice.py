"""Which wheels of a package index serve a version of Python on the oldest Linux that is promised.

In: locked packages, and the files that an index has for them as uv lists them. Out: text for uv, values for the
download. Pure.

Source: PEP 425 (compatibility tags), PEP 600 (manylinux), PEP 751 (pylock.toml).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from stackctl.core.bundle.pack.lock_file import LockEntry

# glibc of RHEL 8 and Debian 10: every distribution that still gets updates has it.
GLIBC_MINOR: Final = 28
PROJECT_NAME: Final = "stackctl-wheels"
_OLDEST_GLIBC_MINOR: Final = {"x86_64": 5, "aarch64": 17}
_OLD_NAMES: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel file of a package index.

    Attributes:
        name: name of the file.
        size: size in bytes; 0 where the index does not say.
        sha256: digest as the index says; empty where it does not.
        accepted: digests that the lock accepts; empty before the wheel was compared with a lock.
    """

    name: str
    url: str
    size: int = 0
    sha256: str = ""
    accepted: tuple[str, ...] = ()


def render_project(entries: Iterable[LockEntry], python: str) -> str:
    """A ``pyproject.toml`` that asks uv for exactly these packages.

    The project says of each package that it needs nothing: so uv fetches no metadata, and never runs a package's code
    to find it.
    """
    listed = tuple(entries)
    lines = ["[project]", f'name = "{PROJECT_NAME}"', 'version = "0"', f'requires-python = ">={python}"']
    lines.append(f"dependencies = [{', '.join(json.dumps(str(entry)) for entry in listed)}]")
    for entry in listed:
        facts = f"name = {json.dumps(entry.name)}\nversion = {json.dumps(entry.version)}\nrequires-dist = []"
        lines.append(f"[[tool.uv.dependency-metadata]]\n{facts}")
    return "\n".join(lines) + "\n"


def find_refused(entries: Iterable[LockEntry], output: str) -> tuple[LockEntry, ...]:
    """The packages that uv says the index does not have."""
    return tuple(entry for entry in entries if f"{PROJECT_NAME} depends on {entry}" in output)


def parse_listing(text: str) -> dict[str, tuple[Wheel, ...]]:
    """The wheels of each package, by normalised name.

    Args:
        text: text of a ``pylock.toml`` that uv wrote.
    """
    packages: list[dict[str, Any]] = tomllib.loads(text).get("packages", [])
    return {
        canonicalize_name(package["name"]): tuple(_read_wheel(item) for item in package.get("wheels", ()))
        for package in packages
    }


def choose_wheel(entry: LockEntry, wheels: Iterable[Wheel], tags: Mapping[Tag, int]) -> Wheel | None:
    """The wheel that an installer would take; ``None`` where none fits, or the lock accepts none that does.

    Args:
        tags: each tag's rank, as ``rank_tags`` makes them.
    """
    fitting: list[tuple[int, Wheel]] = []
    for wheel in wheels:
        try:
            found = parse_wheel_filename(wheel.name)[3]
        except InvalidWheelFilename:
            continue
        rank = min((tags[tag] for tag in found if tag in tags), default=None)
        if rank is not None and (not wheel.sha256 or wheel.sha256 in entry.hashes):
            fitting.append((rank, wheel))
    if not fitting:
        return None
    best = min(fitting, key=lambda item: (item[0], item[1].name))[1]
    return Wheel(best.name, best.url, best.size, best.sha256, entry.hashes)


def rank_tags(python: str, machine: str) -> dict[Tag, int]:
    """Compatibility tags that CPython of this version installs on glibc 2.28 or later, the best first."""
    minor = int(python.partition(".")[2])
    version, platforms, name = (3, minor), list_platform_tags(machine), f"cp3{minor}"
    tags = [*cpython_tags(version, abis=[name], platforms=platforms), *compatible_tags(version, name, platforms)]
    return {tag: rank for rank, tag in enumerate(tags)}


def list_platform_tags(machine: str) -> tuple[str, ...]:
    """Platform tags that a machine with glibc 2.28 or later installs, the newest first."""
    tags: list[str] = []
    for minor in range(GLIBC_MINOR, _OLDEST_GLIBC_MINOR[machine] - 1, -1):
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _OLD_NAMES:
            tags.append(f"{_OLD_NAMES[minor]}_{machine}")
    return (*tags, f"linux_{machine}")


def explain_refusal(lines: Sequence[str]) -> str:
    """What uv says went wrong, in one line: its error, the last of its causes, and that an index refuses the login."""
    told = [line.strip() for line in lines]
    errors = [line.removeprefix("error: ") for line in told if line.startswith("error: ")]
    causes = [line.removeprefix("cause: ") for line in told if line.startswith("cause: ")]
    hints = [line.removeprefix("hint: ") for line in told if line.startswith("hint: An index")]
    return "; ".join([*errors[:1], *causes[:1], *causes[1:][-1:], *hints]) or "uv said nothing"


def _read_wheel(item: Mapping[str, Any]) -> Wheel:
    url = str(item.get("url") or item.get("path"))
    name = str(item.get("name") or unquote(urlsplit(url).path).rpartition("/")[2])
    return Wheel(name, url, int(item.get("size") or 0), str(item.get("hashes", {}).get("sha256", "")))
