"""Folders and files that survive a loss of power, and that every user of the machine may read. Does I/O."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackctl.errors import BundleError

REMOVED = ".removed"
FOLDER_MODE = 0o755
# Containers run as another user, who must be able to read models whatever the operator's umask is.
FILE_MODE = 0o644
PROGRAM_MODE = 0o755


def set_mode(place: Path | int, mode: int) -> None:
    """Give a file or folder its mode, whatever the umask says.

    FAT has one mode for all its files, and lets only the owner of the mount ask for it: who else may read is then not
    ours.
    """
    with suppress(PermissionError):
        os.chmod(place, mode)  # noqa: PTH101 - takes descriptors, too


def make_folder(folder: Path) -> None:
    """Make a folder that every user may enter, and those above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    set_mode(folder, FOLDER_MODE)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def has_size(path: Path, size: int) -> bool:
    """Whether a regular file of this size lies there."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size


def make_file(path: Path, size: int, mode: int = FILE_MODE) -> None:
    """Make a file of this size, all zero, in place of whatever has its name."""
    make_folder(path.parent)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        set_mode(descriptor, mode)
        os.ftruncate(descriptor, size)
        # Nothing may be written to an empty file later, so its turn to be synced is now.
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_data(path: Path) -> None:
    """Make a file's bytes survive a loss of power."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(folder: Path) -> None:
    """Remove a folder with everything in it; it gets another name first, so that half of it is never taken for it."""
    if not folder.is_dir():
        return
    going = folder.with_name(f".{folder.name}{REMOVED}")
    shutil.rmtree(going, ignore_errors=True)
    folder.replace(going)
    shutil.rmtree(going)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of the data at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


class ManyWriter:
    """Writes the same bytes at several places, for one thread.

    Attributes:
        written: number of bytes at each place that were handed to the disk; not yet synced.
    """

    def __init__(self, places: Iterable[tuple[Path, int]]) -> None:
        """Open the files, each once: there may be more places than the files that a process may open.

        Args:
            places: each a file that exists, and an offset in bytes.

        Raises:
            OSError: a file cannot be opened for writing.
        """
        self.written = 0
        self._handles: dict[Path, int] = {}
        self._places = tuple(places)
        try:
            for path, _ in self._places:
                if path not in self._handles:
                    self._handles[path] = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self.close()
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Write what follows, everywhere.

        Raises:
            OSError: the bytes could not be written.
        """
        for path, offset in self._places:
            write_at(self._handles[path], data, offset + self.written)
        self.written += len(data)

    def close(self) -> None:
        """Close the files."""
        for handle in self._handles.values():
            os.close(handle)

    def __enter__(self) -> ManyWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextmanager
def explain_writes(folder: Path) -> Iterator[None]:
    """Turn an error of the disk that a folder is on into words.

    Raises:
        BundleError: the disk is full, or fails.
    """
    try:
        yield
    except OSError as error:
        raise explain_write_failure(folder, error) from error


def explain_write_failure(folder: Path, error: OSError) -> BundleError:
    """Turn an error met while writing into an error for the user."""
    if error.errno == errno.EDQUOT:
        message = f"This user's quota on the disk of {folder} is used up."
        return BundleError(message, "have it raised, then run the command again: it goes on where it was")
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
        message = f"The disk of {folder} is full: {free} bytes are free."
        return BundleError(message, "free some space there, then run the command again: it goes on where it was")
    if error.errno == errno.EROFS:
        message = f"{folder} is on a disk that is mounted read-only, so nothing can be written there."
        hint = "name a folder on another disk: 'stackctl --site' where a bundle is loaded, --out where one is packed"
        return BundleError(message, hint)
    is_refused = error.errno in (errno.EACCES, errno.EPERM)
    hint = "make it writable for this user" if is_refused else "check that disk"
    reason = f"{error.filename or folder}: {error.strerror}"
    return BundleError(f"{folder} cannot be written: {reason}.", f"{hint}, then run the command again")
