"""What operations need of the disk in order to read bundles, as types: the adapters do the I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.bundle.format.manifest import Manifest, Member
from stackctl.core.bundle.format.opened import FolderEntry, OpenedBundle
from stackctl.errors import BundleError, Finding

Count = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class BundleReader:
    """Seams that read and never write; each may raise ``BundleError``, which names a file.

    Attributes:
        find_folders: gives the bundle folders that a path stands for.
        sort_paths: tells paths of bundles from folders that have parts alone.
        open_bundles: opens bundles, given their paths and further folders that parts may lie in.
        measure: tells what lies at a path, ``None`` where there is nothing; links are not followed.
        list_entries: gives everything below a folder.
        read_whole: reads a file's bytes, at most so many.
        read_link: tells where a link leads, as it is written; empty where there is none.
        hash_parts: gives the digest or the error of each file that has the size given, one after another.
        hash_chunks: gives the digests of ranges of these sizes, which together are the file.
        read_blob: reads a member's data, given its part's path and an offset.
        read_range: reads bytes of a file from an offset on, unchecked.
        locate_damage: finds what is wrong in a part, given its number.
        begins_part: tells whether a file begins as the part with this number.
        find_frame_damage: finds what is wrong in a part beside its members' data, and in the data of these members.
        report: shows progress.
        clock: gives a time in seconds that only grows.
    """

    find_folders: Callable[[Path], tuple[Path, ...]]
    sort_paths: Callable[[Sequence[Path], Sequence[Path]], tuple[tuple[Path, ...], tuple[Path, ...]]]
    open_bundles: Callable[[Sequence[Path], Sequence[Path]], tuple[OpenedBundle, ...]]
    measure: Callable[[Path], FolderEntry | None]
    list_entries: Callable[[Path], Iterator[FolderEntry]]
    read_whole: Callable[[Path, int], bytes]
    read_link: Callable[[Path], str]
    hash_parts: Callable[[Sequence[tuple[Path, int]], Count], Iterator[str | BundleError]]
    hash_chunks: Callable[[Path, Sequence[int], Count], Iterator[str]]
    read_blob: Callable[[Path, Member, int], Iterator[bytes]]
    read_range: Callable[[Path, int, int], Iterator[bytes]]
    locate_damage: Callable[[Path, Manifest, int], list[Finding]]
    begins_part: Callable[[Path, Manifest, int], bool]
    find_frame_damage: Callable[[Path, Manifest, int, Collection[str]], str]
    report: Callable[[str], None]
    clock: Callable[[], float]
