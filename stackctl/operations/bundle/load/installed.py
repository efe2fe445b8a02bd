"""What bundles have brought to a site so far: its releases, which one is current, and whether their files are there.

In: the site's ``offline/`` folder. Out: an ``Installed`` value, findings. Reads through its effects; writes nothing but
a lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import CURRENT, LOAD_RECORD, LOCK, PREVIOUS, model_folder
from stackctl.core.bundle.format.manifest import MANIFEST_NAME, Manifest
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from stackctl.core.bundle.load.plan import InstalledRange, list_file_ranges, list_model_ranges
from stackctl.core.bundle.load.record import LoadRecord, parse_record
from stackctl.core.bundle.load.release import release_folder
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, Finding, RuntimeFailure

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.effects import OfflineFolder
    from stackctl.operations.effects import Effects, Files

LINKED_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Installed:
    """The releases of a site.

    Attributes:
        releases: manifest of each release, by its short id.
        current, previous: short ids of these releases; empty where there is none.
    """

    releases: Mapping[str, Manifest]
    current: str
    previous: str

    @property
    def running(self) -> Manifest | None:
        """The manifest of the current release."""
        return self.releases.get(self.current)


def load_installed(folder: OfflineFolder) -> Installed:
    """Read every installed release's manifest; one that is damaged counts as not there."""
    releases = {}
    for short_id in folder.list_releases():
        data = folder.load_bytes(f"{release_folder(short_id)}/{MANIFEST_NAME}")
        try:
            manifest = parse_manifest(data or b"")
        except BundleError:
            continue
        if manifest.short_id == short_id:
            releases[short_id] = manifest
    return Installed(releases, folder.find_link(CURRENT), folder.find_link(PREVIOUS))


def load_record(folder: OfflineFolder, short_id: str) -> LoadRecord | None:
    """How an installed release was loaded; ``None`` when that is not known any more."""
    data = folder.load_bytes(f"{release_folder(short_id)}/{LOAD_RECORD}") or b""
    return parse_record(data.decode("utf-8", "replace"))


@contextmanager
def hold_offline_lock(files: Files, folder: OfflineFolder) -> Iterator[None]:
    """Hold the lock of ``offline/``, so that no other load or rollback of this site is at work.

    Raises:
        BundleError: another command holds the lock, or this user may not change what is installed.
    """
    folder.prepare()
    with ExitStack() as stack:
        try:
            stack.enter_context(files.hold_lock(folder.root / LOCK))
        except RuntimeFailure as error:
            raise BundleError(error.message, error.hint) from error
        yield


def check_sizes(folder: OfflineFolder, manifest: Manifest) -> Iterator[Finding]:
    """Check an installed release's files; a finding for each that is missing or has another size."""
    place = release_folder(manifest.short_id)
    wanted = {item.path: item.size for item in list_file_ranges(manifest, place)}
    for model in manifest.models:
        wanted |= {f"{model_folder(model.digest)}/{file.path}": file.size for file in model.files}
    for path, size in wanted.items():
        seen = folder.find_size(path)
        if seen != size:
            yield Finding(str(folder.root / path), f"is {_describe_size(seen)}; expected are {size} bytes")
    if load_record(folder, manifest.short_id) is None:
        yield Finding(str(folder.root / place / LOAD_RECORD), "is missing or damaged")


def check_content(effects: Effects, folder: OfflineFolder, manifest: Manifest) -> Iterator[Finding]:
    """Check the bytes of an installed release's files; a finding for each range that is wrong."""
    ranges = [item for model in manifest.models for item in list_model_ranges(manifest, model)]
    ranges += list_file_ranges(manifest, release_folder(manifest.short_id))
    total = sum(item.size for item in ranges)
    progress = Transfer(f"checking release {manifest.version}", total, effects.terminal.report, effects.clock.monotonic)
    for item in ranges:
        if not is_right(folder, item, progress.add):
            end = item.offset + item.size
            yield Finding(str(folder.root / item.path), f"its bytes {item.offset} to {end} are not those of the bundle")


def is_right(folder: OfflineFolder, item: InstalledRange, count: Callable[[int], None]) -> bool:
    """Whether a range of an installed file has the bytes that it should have.

    Args:
        count: called with the number of bytes read.
    """
    digest = hashlib.sha256()
    try:
        for piece in folder.read_range(item):
            digest.update(piece)
            count(len(piece))
    except BundleError:
        return False
    return digest.hexdigest() == item.sha256


def _describe_size(size: int | None) -> str:
    return "missing" if size is None else f"{size} bytes long"


def find_links(folder: OfflineFolder, manifest: Manifest, installed: Installed) -> dict[str, InstalledRange]:
    """Files of a release that another installed one has, by path: large ones lie on the disk once.

    Their bytes are not checked here. Small files are left out: they save nothing, and somebody may edit them.
    """
    there = {
        item.sha256: item
        for short_id, other in installed.releases.items()
        if short_id != manifest.short_id
        for item in list_file_ranges(other, release_folder(short_id))
        if item.size >= LINKED_BYTES and folder.find_size(item.path) == item.size
    }
    return {file.path: there[file.sha256] for file in manifest.files if file.sha256 in there}
