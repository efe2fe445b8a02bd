"""A site's ``offline/`` folder: installed releases, the models' store, and which release is current.

Does I/O. Paths are relative to the folder, as core/bundle/format/installed_paths.py names them. A name appears only
when what it names is whole.
"""

from __future__ import annotations

import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stackctl.adapters.bundle.staging import Staging
from stackctl.adapters.files.durable_files import REMOVED, explain_writes, make_folder, remove_folder, sync_folder
from stackctl.core.bundle.format.installed_paths import MODEL_STORE, RELEASES, STAGING
from stackctl.core.bundle.format.manifest import MANIFEST_NAME
from stackctl.core.bundle.load.checks import Disk
from stackctl.core.bundle.load.plan import RELEASE, InstalledRange
from stackctl.errors import BundleError

PIECE_BYTES = 1 << 20


class OfflineFolder:
    """What bundles brought to a site."""

    def __init__(self, root: Path) -> None:
        """Remember the folder's path; nothing is made before it is needed."""
        self.root = root

    def prepare(self) -> None:
        """Make the ``offline/`` folder.

        Raises:
            BundleError: the folder cannot be made.
        """
        with explain_writes(self.root):
            make_folder(self.root)

    def open_staging(self, short_id: str) -> Staging:
        """The staging folder of a bundle, with what an earlier run left in it."""
        return Staging(self.root / STAGING / short_id)

    def list_staging(self) -> dict[str, int]:
        """Bundles that are being loaded, or whose load broke off: each one's short id and the bytes that it takes."""
        return {item.name: self.measure(f"{STAGING}/{item.name}") for item in self._list_folders(STAGING)}

    def list_begun(self) -> tuple[Path, ...]:
        """Folders in staging that have the manifest of the bundle that is being loaded."""
        folders = [item / RELEASE for item in self._list_folders(STAGING)]
        return tuple(folder for folder in folders if (folder / MANIFEST_NAME).is_file())

    def measure(self, *paths: str) -> int:
        """Bytes that removing these folders would free: a file that has another name elsewhere stays."""
        found = [file.lstat() for path in paths for file in (self.root / path).rglob("*")]
        names = Counter((status.st_dev, status.st_ino) for status in found if not stat.S_ISDIR(status.st_mode))
        sizes = {(status.st_dev, status.st_ino): status for status in found}
        return sum(
            status.st_blocks * 512
            for key, status in sizes.items()
            if stat.S_ISDIR(status.st_mode) or names[key] == status.st_nlink
        )

    def remove(self, path: str) -> None:
        """Remove a folder in one step, and what was left where an earlier removal broke off."""
        folder = self.root / path
        with explain_writes(self.root):
            remove_folder(folder)
            for left in folder.parent.glob(f".*{REMOVED}"):
                shutil.rmtree(left, ignore_errors=True)

    def list_releases(self) -> tuple[str, ...]:
        """Short ids of the installed releases, in no order of time."""
        return tuple(item.name for item in self._list_folders(RELEASES))

    def list_models(self) -> tuple[str, ...]:
        """Paths of the models' folders."""
        return tuple(str(MODEL_STORE / item.name) for item in self._list_folders(str(MODEL_STORE)))

    def load_bytes(self, path: str) -> bytes | None:
        """Bytes of a file; ``None`` when there is no such file."""
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BundleError(f"{self.root / path} cannot be read: {error.strerror}.", "check that disk") from error

    def find_link(self, name: str) -> str:
        """Short id of the release that ``current`` or ``previous`` names; empty where there is none."""
        try:
            return (self.root / name).readlink().name
        except OSError:
            return ""

    def switch(self, name: str, short_id: str) -> None:
        """Have a link name another release, in one step.

        Raises:
            BundleError: the folder cannot be written.
        """
        with explain_writes(self.root):
            fresh = self.root / f".{name}.new"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(f"{RELEASES}/{short_id}")
            fresh.replace(self.root / name)
            sync_folder(self.root)

    def find_size(self, path: str) -> int | None:
        """Size of a regular file in bytes; ``None`` when there is no such file."""
        target = self.root / path
        return target.stat().st_size if target.is_file() and not target.is_symlink() else None

    def read_range(self, item: InstalledRange) -> Iterator[bytes]:
        """Bytes of an installed file, as many of the range as there are.

        Raises:
            BundleError: the file is not there or cannot be read.
        """
        path, left = self.root / item.path, item.size
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(item.offset)
                while left and (piece := file.read(min(PIECE_BYTES, left))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}.", "check that disk") from error

    def install(self, staged: str, final: str) -> None:
        """Give a staged folder its final name: at once, or file by file where an equal one is there to be mended.

        Raises:
            BundleError: the folder cannot be written.
        """
        source, target = self.root / staged, self.root / final
        with explain_writes(self.root):
            make_folder(target.parent)
            for folder in [source, *(item for item in source.rglob("*") if item.is_dir())]:
                sync_folder(folder)
            if not target.exists():
                source.replace(target)
                sync_folder(target.parent)
                return
            for file in sorted(item for item in source.rglob("*") if item.is_file()):
                place = target / file.relative_to(source)
                make_folder(place.parent)
                file.replace(place)
                sync_folder(place.parent)

    def find_disk(self, title: str, needed_bytes: int, path: Path | None = None) -> Disk:
        """The file system that this folder, or the one at ``path``, is on."""
        place = path or self.root
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        return Disk(title, str(place), there.stat().st_dev, shutil.disk_usage(there).free, needed_bytes)

    def _list_folders(self, name: str) -> list[Path]:
        folder = self.root / name
        if not folder.is_dir():
            return []
        return sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
