"""The disk of the models folder: unfinished files, digests, atomic placing, free space.

In: paths and bytes. Out: digests, sizes, or nothing. Does I/O. A model's own name is only ever given to a whole file,
in one step. Unfinished files live in ``.partial`` beside the models, on the same file system.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stackctl.adapters.files.durable_files import sync_folder
from stackctl.adapters.files.site_files import hold_lock
from stackctl.errors import RuntimeFailure

BLOCK_BYTES = 1 << 20
OnBytes = Callable[[int], None]


class PartialFile:
    """An unfinished file, open for appending; its digest grows with it."""

    def __init__(self, handle: int, offset: int, digest: hashlib._Hash) -> None:
        self._handle = handle
        self._digest = digest
        self.position = offset

    def write(self, data: bytes) -> None:
        """Append bytes to the file."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        self._digest.update(data)
        self.position += len(data)

    def restart(self) -> None:
        """Drop everything written so far."""
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        self._digest, self.position = hashlib.sha256(), 0

    def sync(self) -> None:
        """Return once all that was written would survive a loss of power."""
        os.fsync(self._handle)

    def compute_sha256(self) -> str:
        """SHA-256 of the whole content so far, in hexadecimal."""
        return self._digest.hexdigest()


@contextmanager
def open_partial(path: Path, offset: int, on_bytes: OnBytes) -> Iterator[PartialFile]:
    """Open an unfinished file at this byte; what stands beyond it is dropped, what is kept is read for the digest.

    Args:
        on_bytes: called with the number of bytes read so far.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _explain_disk(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.ftruncate(handle, offset)
            digest = hashlib.sha256()
            _read_into(handle, digest, on_bytes)
            yield PartialFile(handle, offset, digest)
        finally:
            os.close(handle)


def compute_sha256(path: Path, on_bytes: OnBytes) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            _read_into(file.fileno(), digest, on_bytes)
    except OSError as error:
        hint = f"make it readable: chmod a+r '{path}'" if error.errno == errno.EACCES else "check the disk"
        raise RuntimeFailure(f"{path} cannot be read: {error.strerror}.", hint) from error
    return digest.hexdigest()


def copy_file(source: Path, target: Path, on_bytes: OnBytes) -> str:
    """Copy a file to the disk, synced; the SHA-256 of the bytes that were written."""
    with source.open("rb") as reader, open_partial(target, 0, lambda count: None) as writer:
        while block := reader.read(BLOCK_BYTES):
            writer.write(block)
            on_bytes(writer.position)
        writer.sync()
        return writer.compute_sha256()


def place_file(source: Path, target: Path) -> None:
    """Give a whole file its name in one step, on one file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _explain_disk(target):
        source.replace(target)
        sync_folder(target.parent)


def is_same_file_system(first: Path, second: Path) -> bool:
    """Whether a rename from one to the other is possible; ``second`` may not be there yet."""
    return first.stat().st_dev == _find_existing(second).stat().st_dev


def load_size(path: Path) -> int | None:
    """Size of a regular file in bytes; None where there is no such file."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def load_free_bytes(folder: Path) -> int:
    """Bytes that this user can still write to the folder's file system; the folder may not be there yet."""
    return shutil.disk_usage(_find_existing(folder)).free


def list_files(folder: Path, suffix: str) -> tuple[Path, ...]:
    """Files with this ending in the folder and below it, sorted; hidden folders are left out."""
    found = (path for path in folder.rglob(f"*{suffix}") if path.is_file() or path.is_symlink())
    return tuple(sorted(path for path in found if not _is_hidden(path.relative_to(folder))))


@contextmanager
def hold_download(path: Path, name: str) -> Iterator[None]:
    """Hold the right to write one model file.

    Raises:
        RuntimeFailure: another command is writing the file.
    """
    with ExitStack() as stack:
        with _explain_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        try:
            stack.enter_context(hold_lock(path))
        except RuntimeFailure as error:
            holder = path.read_text(encoding="utf-8").strip() or "unknown"
            message = f"Another stackctl command is already writing {name} (process {holder})."
            raise RuntimeFailure(message, "wait for it to end; it shows its progress") from error
        yield


def _read_into(handle: int, digest: hashlib._Hash, on_bytes: OnBytes) -> None:
    position = 0
    while block := os.read(handle, BLOCK_BYTES):
        digest.update(block)
        position += len(block)
        on_bytes(position)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _find_existing(path: Path) -> Path:
    return path if path.exists() else _find_existing(path.parent)


@contextmanager
def _explain_disk(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into words; what was written stays for the next run."""
    try:
        yield
    except OSError as error:
        hint = "free some space, then run the command again: it goes on where it stopped"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            hint = f"make {path.parent} writable for this user"
        raise RuntimeFailure(f"{path} cannot be written: {error.strerror}.", hint) from error
