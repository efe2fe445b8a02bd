"""Read bundles from disks that no one vouches for: find their files, read parts member by member, locate damage.

In: paths. Out: values and checked bytes. Reads only. A part's bytes follow from the manifest, so every header, every
padding and the end are compared with the only bytes that they may be, and data with its digest.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from stackctl.adapters.files.untrusted_files import exists, explain_failure, open_regular, read_whole
from stackctl.core.bundle.format.layout import BLOCK, END, build_header, pad
from stackctl.core.bundle.format.manifest import MANIFEST_NAME, SIGNATURE_NAME, Member
from stackctl.core.bundle.format.manifest_reader import MAX_MANIFEST_BYTES
from stackctl.core.bundle.format.members import member_path
from stackctl.core.bundle.format.opened import MAX_SIGNATURE_BYTES, OpenedBundle
from stackctl.core.text.printable import escape_text
from stackctl.errors import BundleError, Finding

PIECE_BYTES = 1 << 20
# Below this, waking another thread takes longer than hashing.
_SMALL_BYTES = 64 << 10
_PART_FILE = re.compile(r"part-[0-9]{4}\.tar", re.ASCII)
_COPY_AGAIN = "copy this part again from the bundle's source"


def open_bundles(paths: Sequence[Path], extra_folders: Sequence[Path] = ()) -> tuple[OpenedBundle, ...]:
    """Find bundles and where their parts lie. Nothing is parsed.

    Args:
        paths: each a bundle's folder, its ``bundle.json``, a folder of bundle folders, or, beside one of these, a
            folder that has parts alone.
        extra_folders: further folders in which parts are looked for: the files directly in them, and in their folders.

    Raises:
        BundleError: a path holds no bundle or a file cannot be read; names all of them.
    """
    bundles, extra_folders = sort_paths(paths, extra_folders)
    opened: dict[Path, OpenedBundle] = {}
    findings: list[Finding] = []
    for path in bundles or paths:
        try:
            folders = find_folders(path)
        except BundleError as error:
            findings.append(Finding(str(path), error.message, error.hint))
            continue
        for folder in folders:
            try:
                opened.setdefault(folder.resolve(), _open_bundle(folder, extra_folders))
            except BundleError as error:
                findings.append(Finding(str(folder), error.message, error.hint))
    if findings:
        raise BundleError("Not every bundle can be opened.", findings[0].hint, findings)
    return tuple(opened.values())


def sort_paths(paths: Sequence[Path], extra_folders: Sequence[Path] = ()) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Tell paths of bundles from folders that have parts alone, as a further disk has.

    Returns:
        First the paths of bundles and the paths with nothing at all, then every other folder to search for parts.
    """
    alone = [path for path in paths if _has_parts_alone(path)]
    return tuple(path for path in paths if path not in alone), (*extra_folders, *alone)


def find_folders(path: Path) -> tuple[Path, ...]:
    """The bundle folders that a path stands for: the one it names, or those in it.

    Raises:
        BundleError: the path is no bundle's folder and has none in it.
    """
    if path.name == MANIFEST_NAME and not path.is_dir():
        return (path.parent,)
    if not exists(path):
        raise BundleError(f"{path} is missing.", "name a bundle's folder, or connect the disk that it is on")
    if exists(path / MANIFEST_NAME):
        return (path,)
    try:
        inside = tuple(sorted(item for item in path.iterdir() if exists(item / MANIFEST_NAME)))
    except OSError as error:
        raise explain_failure(path, error) from error
    if not inside and _has_parts_alone(path):
        raise BundleError(
            f"{path} has parts of a bundle and no {MANIFEST_NAME}, which says what they are.",
            f"name the folder with {MANIFEST_NAME} too, which lies on the first disk",
        )
    if not inside:
        raise BundleError(
            f"{path} is no bundle: neither it nor a folder in it has a {MANIFEST_NAME}.", "name a bundle's folder"
        )
    for name in (item.name for item in inside if not item.name.isprintable()):
        # Nobody typed it, and every line about the bundle would show it.
        raise BundleError(
            f"{path} has a bundle in a folder whose name cannot be shown as it is: {escape_text(name)}.",
            "rename that folder, or remove it",
        )
    return inside


def _has_parts_alone(path: Path) -> bool:
    """Whether parts lie here or in a folder here, and no bundle does."""
    if not path.is_dir() or exists(path / MANIFEST_NAME):
        return False
    folders = _list_folders(path)
    return not any(exists(item / MANIFEST_NAME) for item in folders) and any(
        next(_list_parts(item), None) for item in (path, *folders)
    )


def _open_bundle(folder: Path, extra_folders: Sequence[Path]) -> OpenedBundle:
    manifest_bytes = read_whole(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    signature = None
    if exists(folder / SIGNATURE_NAME):
        # Bytes that are no UTF-8 stay what they are, so that the signature's check names them.
        signature = read_whole(folder / SIGNATURE_NAME, MAX_SIGNATURE_BYTES).decode("utf-8", "surrogateescape")
    inner = [item for extra in extra_folders for item in _list_folders(extra) if _may_hold(item, manifest_bytes)]
    parts: dict[str, dict[Path, None]] = {}
    for place in (folder, *extra_folders, *inner):
        for path in _list_parts(place):
            parts.setdefault(path.name, {})[path] = None
    return OpenedBundle(folder, manifest_bytes, signature, {name: tuple(found) for name, found in parts.items()})


def _may_hold(folder: Path, manifest_bytes: bytes) -> bool:
    """Whether parts in a folder can be of this bundle: it is no other bundle's."""
    if not exists(folder / MANIFEST_NAME):
        return True
    try:
        return read_whole(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES) == manifest_bytes
    except BundleError:
        return False


def _list_folders(folder: Path) -> list[Path]:
    """Folders in a folder, without those that only the system may enter (every formatted disk has one)."""
    try:
        with os.scandir(folder) as items:
            found = sorted(folder / item.name for item in items if item.is_dir(follow_symlinks=False))
        return [item for item in found if os.access(item, os.R_OK | os.X_OK)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise explain_failure(folder, error) from error


def _list_parts(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as items:
            yield from sorted(folder / item.name for item in items if _PART_FILE.fullmatch(item.name))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise explain_failure(folder, error) from error


def read_members(path: Path, members: Sequence[Member]) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Read a part from one of its members to its end, everything checked on the way.

    Args:
        members: members of one part, in order, up to the part's last one; begin later to go on after an interruption.

    Yields:
        A member and its data in pieces of at most ``PIECE_BYTES``. The digest is checked when the last piece has been
        taken; what the caller leaves is read and checked before the next member.

    Raises:
        BundleError: the part is not as the manifest says; names the file and the offset.
    """
    with open_regular(path) as file, ThreadPoolExecutor(1, "hash") as hasher:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        for member in members:
            _check_header(path, file, member)
            data = _Data(path, file, member, hasher, member.size)
            yield member, data
            for _ in data:
                pass
            _check_bytes(path, file, bytes(pad(member.size)), f"the padding after {member_path(member)}")
        _check_bytes(path, file, END, "the end of the archive")
        if file.read(1):
            raise _refuse(path, file.tell() - 1, "data follows the end of the archive")


def read_blob(path: Path, member: Member, offset: int = 0) -> Iterator[bytes]:
    """Data of one member from an offset on, wherever the member lies.

    Args:
        offset: first byte wanted, counted within the data; the digest is checked at the end only when this is 0.

    Raises:
        BundleError: the file does not hold this member there, or its data is wrong.
    """
    if not 0 <= offset <= member.size:
        raise ValueError(f"offset {offset} lies outside the member's {member.size} bytes")
    with open_regular(path) as file, ThreadPoolExecutor(1, "hash") as hasher:
        _check_header(path, file, member)
        file.seek(member.offset + offset)
        yield from _Data(path, file, member, hasher, member.size - offset, is_whole=offset == 0)


def read_range(path: Path, offset: int, size: int) -> Iterator[bytes]:
    """Bytes of a range of a part as they are, fewer where the part ends; the caller knows that they were checked.

    Raises:
        BundleError: the file cannot be read.
    """
    with open_regular(path) as file:
        file.seek(offset)
        while size and (piece := file.read(min(PIECE_BYTES, size))):
            size -= len(piece)
            yield piece


@dataclass(slots=True)
class _Data:
    """A member's data, one piece after another; hashed in another thread while the caller uses the piece."""

    path: Path
    file: FileIO
    member: Member
    hasher: ThreadPoolExecutor
    left: int
    is_whole: bool = True
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    pending: Future[None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.pending is not None:
            self.pending.result()
            self.pending = None
        if not self.left:
            self._check_digest()
            raise StopIteration
        piece = self.file.read(min(PIECE_BYTES, self.left))
        if not piece:
            raise _refuse(self.path, self.file.tell(), f"the file ends within {member_path(self.member)}")
        self.left -= len(piece)
        if self.is_whole and len(piece) >= _SMALL_BYTES:
            self.pending = self.hasher.submit(self.digest.update, piece)
        elif self.is_whole:
            self.digest.update(piece)
        return piece

    def _check_digest(self) -> None:
        seen = self.digest.hexdigest()
        if self.is_whole and seen != self.member.sha256:
            raise _refuse(
                self.path, self.member.offset, f"the data of {member_path(self.member)} is wrong (it hashes to {seen})"
            )


def _check_header(path: Path, file: FileIO, member: Member) -> None:
    name = member_path(member)
    file.seek(member.offset - BLOCK)
    _check_bytes(path, file, build_header(name, member.size), f"the header of {name}")


def _check_bytes(path: Path, file: FileIO, expected: bytes, title: str) -> None:
    """Read exactly the expected bytes, or raise."""
    offset = file.tell()
    seen = read_up_to(file, len(expected))
    if seen != expected:
        how = "is altered" if len(seen) == len(expected) else "is cut off: the file ends there"
        raise _refuse(path, offset, f"{title} {how}")


def read_up_to(file: FileIO, size: int) -> bytes:
    """Read so many bytes, fewer only at the file's end."""
    data = bytearray()
    while len(data) < size and (piece := file.read(size - len(data))):
        data += piece
    return bytes(data)


def _refuse(path: Path, offset: int, seen: str) -> BundleError:
    return BundleError(f"{path} does not match its manifest: at offset {offset}, {seen}.", _COPY_AGAIN)
