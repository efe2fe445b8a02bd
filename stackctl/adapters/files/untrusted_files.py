"""Files that somebody else made: only regular ones are opened, none is followed elsewhere, none can block.

In: paths. Out: bytes and what is known of entries. Reads only. A name is resolved once, when it is opened; what is then
known about the file is known about the one that is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from stackctl.core.bundle.format.opened import FolderEntry
from stackctl.errors import BundleError

# Without O_NONBLOCK opening a pipe waits for a writer.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
MAX_DEPTH = 32


@contextmanager
def open_regular(path: Path) -> Iterator[FileIO]:
    """Open a file for reading, unbuffered.

    Raises:
        BundleError: the file is missing, is anything but a regular file, or its disk gives an error, then or later.
    """
    try:
        with FileIO(os.open(path, _FLAGS), closefd=True) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise _refuse_kind(path, mode)
            yield file
    except OSError as error:
        raise explain_failure(path, error) from error


def read_whole(path: Path, limit: int) -> bytes:
    """Bytes of a small file; none is read of one that is larger than allowed.

    Raises:
        BundleError: the file cannot be opened, as in ``open_regular``, or has more than ``limit`` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise BundleError(
                f"{path} has {size} bytes; at most {limit} are expected.", "copy the bundle again from its source"
            )
        data = bytearray()
        while len(data) <= limit and (piece := file.read(limit + 1 - len(data))):
            data += piece
    if len(data) > limit:
        raise BundleError(f"{path} grew while it was read.", "wait until it is complete, then try again")
    return bytes(data)


def exists(path: Path) -> bool:
    """Whether the name is there, whatever it is; a link counts although it may lead nowhere."""
    return os.path.lexists(path)


def list_entries(folder: Path) -> Iterator[FolderEntry]:
    """Everything below a folder, hidden names included; links are named, not followed.

    Raises:
        BundleError: a folder cannot be listed, or is nested too deeply.
    """
    yield from _list_below(folder, "", 0)


def measure(path: Path) -> FolderEntry | None:
    """What lies at a path, without following a link; ``None`` where there is nothing.

    Raises:
        BundleError: the path cannot be looked at.
    """
    try:
        return _build_entry(path.name, path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise explain_failure(path, error) from error


def read_link(path: Path) -> str:
    """Where a link leads, as it is written; empty where there is no link."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _list_below(folder: Path, prefix: str, depth: int) -> Iterator[FolderEntry]:
    if depth > MAX_DEPTH:
        raise BundleError(f"{folder} lies more than {MAX_DEPTH} folders deep.", "remove what is not of the bundle")
    try:
        with os.scandir(folder) as items:
            for item in items:
                entry = _build_entry(prefix + item.name, item.stat(follow_symlinks=False))
                yield entry
                if entry.kind == "folder":
                    yield from _list_below(folder / item.name, f"{prefix}{item.name}/", depth + 1)
    except OSError as error:
        raise explain_failure(folder, error) from error


def _build_entry(path: str, status: os.stat_result) -> FolderEntry:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return FolderEntry(path, kind, status.st_size if kind == "file" else 0)


def explain_failure(path: Path, error: OSError) -> BundleError:
    """Turn an error of the operating system into an error about a bundle."""
    if error.errno == errno.ENOENT:
        return BundleError(f"{path} is missing.", "copy it from the bundle's source, or name its folder with --from")
    if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
        return _refuse_kind(path, _find_mode(path))
    if error.errno in (errno.EACCES, errno.EPERM):
        return BundleError(f"{path} may not be read: {error.strerror}.", f"make it readable: chmod u+r '{path}'")
    return BundleError(
        f"{path} cannot be read: {error.strerror}.",
        "the disk may be unplugged or failing: connect it again, or copy the bundle to another disk",
    )


def _find_mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _refuse_kind(path: Path, mode: int) -> BundleError:
    kind = _KINDS.get(stat.S_IFMT(mode), "device or pipe")
    return BundleError(f"{path} is a {kind}; expected a regular file.", "replace it by the file itself")
