"""A lock of a test and the wheels that are collected for it."""

from __future__ import annotations

from pathlib import Path

from stackctl.adapters.wheels.wheelhouse import collect_wheels
from tests.package_index import PackageIndex

PYTHONS = ("3.11", "3.12")


def save_lock(folder: Path, *lines: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def collect(lock: Path, index: PackageIndex, pythons: tuple[str, ...] = PYTHONS) -> list[str]:
    """Names of the collected wheels."""
    found = collect_wheels(lock, pythons, lock.parent / "cache", index.url, lambda _: None)
    assert all(path.is_file() for path in found)
    return [path.name for path in found]
