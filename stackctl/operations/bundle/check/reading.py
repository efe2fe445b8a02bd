"""What operations need of the disk in order to read bundles."""

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
    """Reading, nothing else; all of it may raise ``BundleError`` that names a file.

    Attributes:
        find_folders: the bundle folders that a path means.
        sort_paths: paths of bundles, and those with parts alone beside further folders.
        open_bundles: paths of bundles, and further folders that parts may lie in.
        measure: what lies at a path, ``None`` where there is nothing; links are not followed.
        list_entries: everything below a folder.
        read_whole: a file's bytes, at most so many.
        read_link: where a link leads, as it is written; empty where there is none.
        hash_parts: digest or error of each file that has the size given, one after another.
        hash_chunks: digests of stretches of these sizes, which together are the file.
        read_blob: a member's data, given its part's path and an offset.
        read_range: bytes of a file from an offset on, unchecked.
        locate_damage: what is wrong in a part, given its number.
        begins_part: whether a file begins as the part with this number.
        find_frame_damage: what is wrong in a part beside its members' data, and in the data of these members.
        report: shows progress.
        clock: monotonic, in seconds.
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
