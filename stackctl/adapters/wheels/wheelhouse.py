"""Collect the wheels of a hashed lock file for several Python versions, for installing them where no index is.

In: a lock file and this machine's settings for the index. Out: wheels in a cache, each under its own digest, so that a
changed lock fetches what changed and an interrupted collection goes on where it was. Does I/O; for an unchanged lock no
index is asked. Nothing is built: a package without a fitting wheel is reported by name.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from stackctl.adapters.files.site_files import save_text
from stackctl.adapters.machine.commands import stop_streams
from stackctl.adapters.process.environments import wait_for_lock
from stackctl.adapters.process.pip_settings import find_installer_settings
from stackctl.adapters.wheels.package_index import Choice, choose_wheels
from stackctl.adapters.wheels.wheel_downloads import download_wheels, find_cached
from stackctl.core.bundle.pack.lock_file import LockEntry, parse_lock, select_entries
from stackctl.core.bundle.pack.sbom import Component, parse_wheel_metadata
from stackctl.core.bundle.pack.wheel_choice import Wheel, list_platform_tags
from stackctl.core.text.progress import Transfer, write_size
from stackctl.errors import BundleError, Finding

Report = Callable[[str], None]
HashFile = Callable[[Path], str]

_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
_MAX_METADATA_BYTES: Final = 4 << 20


def hash_whole(path: Path) -> str:
    """SHA-256 of a file, read to its end."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def collect_wheels(
    lock: Path,
    pythons: Sequence[str],
    cache_dir: Path,
    index_url: str,
    report: Report,
    *,
    title: str = "",
    hash_file: HashFile = hash_whole,
) -> tuple[Path, ...]:
    """Every wheel that the lock needs on this kind of machine, sorted by name.

    Args:
        pythons: versions of Python, such as ``3.11``.
        index_url: address of the package index; empty for the one that pip uses.
        title: what the report calls the wheels; by default the name of the lock's folder.
        hash_file: gives the SHA-256 of a file; one that remembers digests of unchanged files makes a second run quick.

    Raises:
        BundleError: packages have no wheel, all of them by name and version of Python; or a wheel is not the lock's.
        ConfigError: the file is no lock file.
        RuntimeFailure: the index did not give a package.
    """
    machine = platform.machine()
    folder = cache_dir / "wheels"
    listing = folder / f"{_hash_request(lock, pythons, machine)}.json"
    if found := _load_listing(listing, hash_file):
        return found
    what = f"wheels of {title or lock.parent.name}"
    with wait_for_lock(folder / "wheels.lock", report):
        if found := _load_listing(listing, hash_file):
            return found
        settings = find_installer_settings(index_url)
        wheels = _choose(lock, pythons, machine, settings, lambda text: report(f"{what}: {text}"))
        paths = {wheel.name: path for wheel in wheels if (path := _find_whole(folder, wheel, hash_file))}
        missing = [wheel for wheel in wheels if wheel.name not in paths]
        transfer = Transfer(what, sum(wheel.size for wheel in missing), report, time.monotonic)
        fetched = download_wheels(missing, folder, settings, transfer)
        if fetched:
            report(f"{what}: {len(fetched)} fetched, {write_size(transfer.done)}; {len(paths)} were there")
        paths |= {path.name: path for path in fetched}
        places = sorted(str(path.relative_to(folder)) for path in paths.values())
        save_text(listing, json.dumps(places, indent=0))
    return tuple(paths[name] for name in sorted(paths))


def _choose(
    lock: Path, pythons: Sequence[str], machine: str, settings: dict[str, str], report: Report
) -> tuple[Wheel, ...]:
    """The wheels of all versions of Python, each once; the index is asked for all of them side by side."""
    entries = parse_lock(lock.read_text(encoding="utf-8"), str(lock))
    jobs = [(python, selection) for python in pythons for selection in select_entries(entries, python, machine)]
    report(f"asking the index for {len(entries)} packages, Python {', '.join(pythons)}")

    def choose(job: tuple[str, tuple[LockEntry, ...]]) -> Choice:
        return choose_wheels(job[1], job[0], machine, settings)

    with ThreadPoolExecutor(len(jobs) or 1) as pool:
        try:
            choices = list(pool.map(choose, jobs))
        except BaseException:
            stop_streams()
            raise
    findings = [
        Finding(str(entry), f"has no wheel for Python {python} on {machine}")
        for (python, _), choice in zip(jobs, choices, strict=True)
        for entry in choice.missing
    ]
    if findings:
        raise BundleError(
            f"Not every package of {lock} can be carried as a wheel.",
            "pin a version that has one in the lock's source, or leave that version of Python out",
            tuple(dict.fromkeys(findings)),
        )
    return tuple({wheel.name: wheel for choice in choices for wheel in choice.wheels}.values())


def _find_whole(folder: Path, wheel: Wheel, hash_file: HashFile) -> Path | None:
    """Path of a wheel in the cache, if the file there is that wheel."""
    path = find_cached(folder, wheel)
    return path if path and hash_file(path) == path.parent.name else None


def describe_wheel(path: Path, sha256: str) -> Component:
    """A wheel's entry of the bill of materials, from its own metadata.

    Args:
        sha256: SHA-256 of the whole file.

    Raises:
        BundleError: the file is no wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (info,) = (item for item in archive.infolist() if _METADATA.fullmatch(item.filename))
            if info.file_size > _MAX_METADATA_BYTES:
                raise ValueError(f"its METADATA has {info.file_size} bytes")
            text = archive.read(info).decode("utf-8", errors="replace")
            return parse_wheel_metadata(text, sha256)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} is no wheel: {error}.", "remove it and run the command again") from error


def _load_listing(listing: Path, hash_file: HashFile) -> tuple[Path, ...]:
    """The wheels of a finished collection; empty when it is not finished or one of them is gone or damaged."""
    try:
        paths = [listing.parent / str(place) for place in json.loads(listing.read_bytes())]
        if any(hash_file(path) != path.parent.name for path in paths):
            return ()
    except (OSError, ValueError, TypeError, BundleError):
        return ()
    return tuple(sorted(paths, key=lambda path: path.name))


def _hash_request(lock: Path, pythons: Sequence[str], machine: str) -> str:
    content = "\0".join([lock.read_text(encoding="utf-8"), *sorted(pythons), *list_platform_tags(machine)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]
