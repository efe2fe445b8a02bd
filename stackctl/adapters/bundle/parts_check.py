"""Hash whole parts as fast as the disk gives them, and find out what exactly is wrong in a bad one.

In: paths of parts. Out: digests and findings. Reads only.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from stackctl.adapters.bundle.parts_reader import read_up_to
from stackctl.adapters.files.untrusted_files import open_regular
from stackctl.core.bundle.format.layout import BLOCK, END, build_header, pad, parse_header
from stackctl.core.bundle.format.manifest import Manifest, Member
from stackctl.core.bundle.format.members import describe_owners, list_members, member_path
from stackctl.errors import BundleError, Finding

# Fits a core's cache beside what SHA-256 needs; larger pieces are slower.
BUFFER_BYTES = 256 << 10
# A disk that seeks reads two files at once slowly, but one thread cannot hash as fast as a good disk reads.
THREADS = 2
_COPY_AGAIN = "copy this part again from the bundle's source"

Report = Callable[[int], None]


def hash_part(path: Path, size: int, report: Report) -> str:
    """SHA-256 of a whole file, in hexadecimal.

    Args:
        size: bytes that the file must have; with another size it fails before anything is read.
        report: called with the number of bytes as they are hashed.

    Raises:
        BundleError: the file is missing, has another size, is no regular file, or cannot be read to its end.
    """
    return _hash_file(path, size, report, threading.Event())


def hash_parts(jobs: Sequence[tuple[Path, int]], report: Report) -> Iterator[str | BundleError]:
    """``hash_part`` of many files side by side; what is wrong with one file does not keep the others from being read.

    Args:
        jobs: path and size in bytes of each file.
        report: called with the number of bytes hashed, by one thread at a time.

    Yields:
        The digest or the error of each job, in the jobs' order, while later ones are read.
    """
    lock, stop = threading.Lock(), threading.Event()

    def count(size: int) -> None:
        with lock:
            report(size)

    def run(job: tuple[Path, int]) -> str | BundleError:
        try:
            return _hash_file(*job, count, stop)
        except BundleError as error:
            return error

    with ThreadPoolExecutor(THREADS, "hash") as pool:
        try:
            yield from pool.map(run, jobs)
        finally:
            # An interrupted command does not wait until files of many gigabytes are read.
            stop.set()
            pool.shutdown(cancel_futures=True)


def _hash_file(path: Path, size: int, report: Report, stop: threading.Event) -> str:
    with open_regular(path) as file:
        _check_size(path, file, size)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return _hash_next(path, file, size, report, stop)


def hash_chunks(path: Path, sizes: Sequence[int], report: Report) -> Iterator[str]:
    """SHA-256 of each range of a file, one after another; together the ranges are the whole file.

    Raises:
        BundleError: the file is missing, has another size, is no regular file, or cannot be read to its end.
    """
    stop = threading.Event()
    with open_regular(path) as file:
        _check_size(path, file, sum(sizes))
        for size in sizes:
            yield _hash_next(path, file, size, report, stop)


def _hash_next(path: Path, file: FileIO, size: int, report: Report, stop: threading.Event) -> str:
    """Hash so many bytes from where the file is read next."""
    digest, buffer, left = hashlib.sha256(), memoryview(bytearray(BUFFER_BYTES)), size
    while left and not stop.is_set():
        count = file.readinto(buffer[:left])
        if not count:
            raise BundleError(f"{path} ends at byte {file.tell()}; it was cut while it was read.", _COPY_AGAIN)
        digest.update(buffer[:count])
        left -= count
        report(count)
    return digest.hexdigest()


def _check_size(path: Path, file: FileIO, size: int) -> None:
    seen = os.fstat(file.fileno()).st_size
    if seen != size:
        raise BundleError(f"{path} has {seen} bytes; expected are {size}.", _COPY_AGAIN)


def begins_part(path: Path, manifest: Manifest, number: int) -> bool:
    """Whether a file begins as this part does; no other part and no other bundle's part begins so.

    Args:
        number: the part's number, from 1.
    """
    first = next(iter(list_members(manifest, number)), None)
    try:
        with open_regular(path) as file:
            seen = read_up_to(file, BLOCK)
    except BundleError:
        return False
    return seen == (END[:BLOCK] if first is None else build_header(member_path(first), first.size))


def find_frame_damage(path: Path, manifest: Manifest, number: int, hashed: Collection[str]) -> str:
    """Look at everything in a part that is not a member's data: headers, padding, the end of the archive.

    Args:
        number: the part's number, from 1.
        hashed: SHA-256 of the members whose data is read too, because no other check reads it.

    Returns:
        The first thing that is wrong, in words; empty when the part is right so far.

    Raises:
        BundleError: the file cannot be read.
    """
    size = manifest.parts[number - 1].size
    with open_regular(path) as file:
        seen = os.fstat(file.fileno()).st_size
        if seen != size:
            return f"it has {seen} bytes; expected are {size} bytes"
        return next(
            (f"at offset {spot.offset}, {spot.seen}" for spot in _find_frames(file, manifest, number, hashed)), ""
        )


def _find_frames(file: FileIO, manifest: Manifest, number: int, hashed: Collection[str]) -> Iterator[_Spot]:
    end, before = 0, b""
    for member in list_members(manifest, number):
        name = member_path(member)
        # What follows one member's data up to the next one's is read at once.
        file.seek(end)
        seen = read_up_to(file, len(before) + BLOCK)
        yield from _compare_frame(end, seen, before, build_header(name, member.size), name)
        end, before = member.offset + member.size, bytes(pad(member.size))
        if member.sha256 in hashed:
            yield from _hash_member(file, member)
    file.seek(end)
    yield from _compare_frame(end, read_up_to(file, len(before) + len(END)), before, END, "the end of the archive")


def _compare_frame(offset: int, seen: bytes, padding: bytes, expected: bytes, name: str) -> Iterator[_Spot]:
    if not seen.startswith(padding):
        yield _Spot(offset, f"the padding before {name} is altered")
    if seen[len(padding) :] != expected:
        title = name if expected == END else f"the header of {name}"
        yield _Spot(offset + len(padding), f"{title} is altered")


@dataclass(frozen=True, slots=True)
class _Spot:
    """Something wrong in a part; ``member`` is set where it is wrong in that member's data."""

    offset: int
    seen: str
    member: Member | None = None


def locate_damage(path: Path, manifest: Manifest, number: int) -> list[Finding]:
    """Read a bad part once more and name each range that is wrong, with what it belongs to.

    Args:
        number: the part's number, from 1.

    Returns:
        Findings in the order of their offsets; empty when the part is right.

    Raises:
        BundleError: the file cannot be read.
    """
    members = list_members(manifest, number)
    with open_regular(path) as file:
        spots = tuple(_find_spots(file, members))
    owners = describe_owners(manifest, {spot.member.sha256 for spot in spots if spot.member})
    return [
        Finding(
            manifest.parts[number - 1].name,
            f"at offset {spot.offset}, {spot.seen}" + _render_owners(owners, spot.member),
            file=str(path.parent),
        )
        for spot in spots
    ]


def _render_owners(owners: Mapping[str, Sequence[str]], member: Member | None) -> str:
    return f" ({'; '.join(owners.get(member.sha256, ()))})" if member else ""


def _find_spots(file: FileIO, members: Sequence[Member]) -> Iterator[_Spot]:
    names = {member_path(member) for member in members}
    first, first_size = parse_header(read_up_to(file, BLOCK))
    if first and first not in names:
        # Everything differs then, and naming all of it says less.
        yield _Spot(0, f"{first} ({first_size} bytes) begins, which is not of this part: it is another part")
        return
    size, end = os.fstat(file.fileno()).st_size, 0
    for number, member in enumerate(members):
        end = member.offset + member.size + pad(member.size)
        if size < end:
            # One line: a copy that broke off lacks everything after it.
            more = f", and so are the {len(members) - number - 1} after it" if number + 1 < len(members) else ""
            seen = f"{member_path(member)} is missing{more}: the file ends at byte {size}"
            yield _Spot(member.offset, seen, member)
            return
        yield from _check_member(file, member)
    if size < end + len(END):
        yield _Spot(size, "the file ends; the end of the archive is missing")
        return
    yield from _compare(file, end, END, "the end of the archive is altered")
    if size > end + len(END):
        yield _Spot(end + len(END), f"{size - end - len(END)} bytes follow the end of the archive")


def _check_member(file: FileIO, member: Member) -> Iterator[_Spot]:
    name, end = member_path(member), member.offset + member.size
    yield from _compare(
        file, member.offset - BLOCK, build_header(name, member.size), f"the header of {name} is altered"
    )
    yield from _hash_member(file, member)
    yield from _compare(file, end, bytes(pad(member.size)), f"the padding after {name} is altered")


def _hash_member(file: FileIO, member: Member) -> Iterator[_Spot]:
    file.seek(member.offset)
    digest, buffer, left = hashlib.sha256(), memoryview(bytearray(BUFFER_BYTES)), member.size
    while left and (count := file.readinto(buffer[:left])):
        digest.update(buffer[:count])
        left -= count
    if digest.hexdigest() != member.sha256:
        yield _Spot(member.offset, f"the {member.size} bytes of {member_path(member)} are altered", member)


def _compare(file: FileIO, offset: int, expected: bytes, seen: str) -> Iterator[_Spot]:
    file.seek(offset)
    if read_up_to(file, len(expected)) != expected:
        yield _Spot(offset, seen)
