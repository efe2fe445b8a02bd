"""Collect the wheels of a hashed lock file for several Python versions, for installing them where no index is.

In: a lock file and pip's own settings for the index. Out: wheels in a cache folder whose name follows from the lock,
so that an unchanged lock costs nothing and an interrupted collection goes on where it was. Nothing is built: a package
without a fitting wheel is reported by name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stackctl.adapters.commands import run_command, stream_command
from stackctl.adapters.environments import wait_for_lock
from stackctl.adapters.files import save_text
from stackctl.core.bundle.lock_file import LockEntry, parse_lock, render_lock, select_entries
from stackctl.core.bundle.sbom import Component, parse_wheel_metadata
from stackctl.core.runtime import CompletedCommand
from stackctl.errors import BundleError, Finding, RuntimeFailure

Report = Callable[[str], None]

# glibc of RHEL 8 and Debian 10: every distribution that still gets updates has it.
GLIBC_MINOR: Final = 28
_OLDEST_GLIBC_MINOR: Final = {"x86_64": 5, "aarch64": 17}
_OLD_NAMES: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# pip keeps nothing of a run that was killed, so this many packages are what is fetched again.
_BATCH: Final = 16
_LISTING: Final = "complete.txt"
_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
_MAX_METADATA_BYTES: Final = 4 << 20
_MISSING: Final = re.compile(r"No matching distribution found for ([^\s;(]+)")
# pip's output says the same of an index that does not answer; one that answers 404 does not have the package.
_UNREACHED: Final = re.compile(r"Could not fetch URL \S+ (?!404 )(?P<reason>.+) - skipping")


def collect_wheels(
    lock: Path, pythons: Sequence[str], cache_dir: Path, index_url: str, report: Report
) -> tuple[Path, ...]:
    """Every wheel that the lock needs on this kind of machine, sorted by name.

    Args:
        pythons: versions such as ``3.11``.
        index_url: of the package index; empty for the one that pip uses.

    Raises:
        BundleError: packages without a wheel, all of them by name and version of Python.
        ConfigError: the lock is not one.
        RuntimeFailure: the index did not give a package.
    """
    machine = platform.machine()
    folder = cache_dir / "wheels" / f"{lock.stem}-{_hash_request(lock, pythons, machine)}"
    if found := _load_listing(folder):
        return found
    entries = parse_lock(lock.read_text(encoding="utf-8"), str(lock))
    with wait_for_lock(folder.with_name(folder.name + ".lock"), report):
        if found := _load_listing(folder):
            return found
        folder.mkdir(parents=True, exist_ok=True)
        pip = _find_pip(cache_dir, report)
        findings: list[Finding] = []
        for python in pythons:
            downloader = _Downloader(pip, python, folder, index_url, report)
            for selection in select_entries(entries, python, machine):
                missing = downloader.fetch(selection)
                findings += [Finding(str(entry), f"has no wheel for Python {python} on {machine}") for entry in missing]
        if findings:
            raise BundleError(
                f"Not every package of {lock} can be carried as a wheel.",
                "pin a version that has one in the lock's source, or leave that version of Python out",
                tuple(dict.fromkeys(findings)),
            )
        _check_wheels(folder, entries)
        _save_listing(folder)
    return _load_listing(folder)


def describe_wheel(path: Path, sha256: str) -> Component:
    """A wheel's entry of the bill of materials, from its own metadata.

    Args:
        sha256: of the whole file.

    Raises:
        BundleError: it is no wheel.
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


def list_platform_tags(machine: str) -> tuple[str, ...]:
    """Platform tags that a machine with glibc 2.28 or later installs, the newest first.

    pip expands no other than the three old names by itself.
    """
    tags: list[str] = []
    for minor in range(GLIBC_MINOR, _OLDEST_GLIBC_MINOR[machine] - 1, -1):
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _OLD_NAMES:
            tags.append(f"{_OLD_NAMES[minor]}_{machine}")
    return (*tags, f"linux_{machine}")


@dataclass(frozen=True, slots=True)
class _Downloader:
    """pip, fetching for one version of Python."""

    pip: Sequence[str]
    python: str
    folder: Path
    index_url: str
    report: Report

    def fetch(self, entries: Sequence[LockEntry]) -> list[LockEntry]:
        """Fetch what is not there yet; returns the entries that have no wheel."""
        starts = range(0, len(entries), _BATCH)
        return [entry for start in starts for entry in self._fetch_batch(entries[start : start + _BATCH])]

    def _fetch_batch(self, entries: Sequence[LockEntry]) -> list[LockEntry]:
        """pip stops at the first package that has no wheel, so it is asked again without it."""
        wanted, missing = list(entries), list[LockEntry]()
        while wanted:
            done, unreached = self._run(wanted)
            if not done.code:
                break
            refused = _MISSING.findall(done.stderr)
            absent = [entry for entry in wanted if str(entry) in refused]
            if unreached or not absent:
                raise RuntimeFailure(
                    f"The wheels for Python {self.python} could not be fetched: {unreached or done.render_failure()}",
                    "check that the package index is reachable; PIP_INDEX_URL names a mirror, PIP_CERT its CA",
                )
            missing += absent
            wanted = [entry for entry in wanted if entry not in absent]
        return missing

    def _run(self, entries: Sequence[LockEntry]) -> tuple[CompletedCommand, str]:
        """What pip said, and why an index did not answer; empty where all did."""
        argv = [*self.pip, "download", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        argv += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(self.folder)]
        argv += ["--implementation", "cp", "--python-version", self.python]
        argv += [part for tag in list_platform_tags(platform.machine()) for part in ("--platform", tag)]
        variables = {"PIP_INDEX_URL": self.index_url} if self.index_url else {}
        with tempfile.TemporaryDirectory() as scratch:
            lock = Path(scratch) / "lock.txt"
            # Without markers: pip would evaluate them for the Python that it runs in.
            lock.write_text(render_lock(entries), encoding="utf-8")
            log = lock.with_name("pip.log")
            argv += ["--log", str(log), "--requirement", str(lock)]
            done = stream_command(argv, _tell(self.report, self.python), variables)
            found = _UNREACHED.search(log.read_text(encoding="utf-8", errors="replace")) if done.code else None
            return done, found["reason"] if found else ""


def _tell(report: Report, python: str) -> Report:
    """Only lines that a person waits for."""

    def tell(line: str) -> None:
        if line.startswith(("Collecting", "Saved")):
            report(f"wheels for Python {python}: {line.partition(' (from ')[0]}")

    return tell


def _check_wheels(folder: Path, entries: Iterable[LockEntry]) -> None:
    """Every file is one that the lock names; pip has checked what it fetched, this checks what lay there before."""
    known = {digest for entry in entries for digest in entry.hashes}
    for path in _list_wheels(folder):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found not in known:
            path.unlink()
            raise BundleError(f"{path.name} in the cache is no wheel of the lock (sha256 {found}).", "run it again")


def _save_listing(folder: Path) -> None:
    save_text(folder / _LISTING, "".join(f"{path.stat().st_size} {path.name}\n" for path in _list_wheels(folder)))


def _load_listing(folder: Path) -> tuple[Path, ...]:
    """The wheels of a finished collection; empty when it is not finished or something of it is gone."""
    try:
        lines = (folder / _LISTING).read_text(encoding="utf-8").splitlines()
        listed = [(int(size), folder / name) for size, name in (line.split(" ", 1) for line in lines)]
        if any(path.stat().st_size != size for size, path in listed):
            return ()
    except (OSError, ValueError):
        return ()
    return tuple(path for _, path in listed)


def _list_wheels(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.whl"), key=lambda path: path.name)


def _hash_request(lock: Path, pythons: Sequence[str], machine: str) -> str:
    content = "\0".join([lock.read_text(encoding="utf-8"), *sorted(pythons), *list_platform_tags(machine)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _find_pip(cache_dir: Path, report: Report) -> list[str]:
    """pip of this environment, or the one that Python itself brings: uv installs, but it cannot only download."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    environment = cache_dir / "envs" / f"pip-{sys.version_info.major}.{sys.version_info.minor}"
    python = environment / "bin" / "python"
    if run_command([str(python), "-m", "pip", "--version"]).code:
        done = stream_command([sys.executable, "-m", "venv", "--clear", str(environment)], report)
        if done.code:
            raise RuntimeFailure(
                f"An environment with pip could not be made: {done.render_failure()}",
                "on Debian and Ubuntu: apt-get install python3-venv",
            )
    return [str(python), "-m", "pip"]
