"""Whether a folder holds exactly the files that a manifest names. Pure: entries in, findings out.

A missing file of a bundle is not looked for here: it may lie on another disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from stackctl.core.bundle.format.manifest import BOOTSTRAP_FOLDER, MANIFEST_NAME, SIGNATURE_NAME, SUMS_NAME, Manifest
from stackctl.core.bundle.format.opened import FolderEntry
from stackctl.core.text.printable import escape_text
from stackctl.errors import Finding

# Somebody may have unpacked a file system there.
MAX_STRAYS = 1000
STRAY_HINT = "remove it from that folder: nobody signed it"
_ARTICLES = {"folder": "a folder", "link": "a link", "other": "a device, a pipe or a socket", "file": "a file"}


def list_bundle_files(manifest: Manifest) -> dict[str, int]:
    """Every file that a bundle's folder may have, apart from its parts and the two that vouch for it: path to bytes."""
    sums = sum(len(f"{file.sha256}  {BOOTSTRAP_FOLDER}/{file.path}\n") for file in manifest.bootstrap)
    sums += sum(len(f"{part.sha256}  {part.name}\n") for part in manifest.parts)
    files = {f"{BOOTSTRAP_FOLDER}/{file.path}": file.size for file in manifest.bootstrap}
    return {SUMS_NAME: sums, **files}


def check_bundle_folder(folder: str, manifest: Manifest, entries: Iterable[FolderEntry]) -> Iterator[Finding]:
    """What in a bundle's folder has another size or kind, or does not belong; what is missing may be elsewhere."""
    elsewhere = {MANIFEST_NAME, SIGNATURE_NAME, *(part.name for part in manifest.parts)}
    here = (entry for entry in entries if entry.path not in elsewhere)
    yield from check_entries(folder, list_bundle_files(manifest), here, may_lack=True)


def check_entries(
    folder: str, expected: Mapping[str, int], entries: Iterable[FolderEntry], *, may_lack: bool = False
) -> Iterator[Finding]:
    """Compare a folder tree with the files that it must have.

    Args:
        folder: path of the folder, for the findings.
        expected: each file's path to its size in bytes.
        may_lack: whether files may be missing without a finding.
    """
    folders = {str(parent) for path in expected for parent in PurePosixPath(path).parents}
    here: dict[str, FolderEntry] = {}
    strays: list[FolderEntry] = []
    count = 0
    for entry in entries:
        if entry.path in expected:
            here[entry.path] = entry
        elif entry.kind != "folder" or entry.path not in folders:
            count += 1
            if count <= MAX_STRAYS:
                strays.append(entry)
    for path, size in sorted(expected.items()):
        if may_lack and path not in here:
            continue
        finding = check_entry(folder, path, size, here.get(path))
        if finding:
            yield finding
    for entry in sorted(strays, key=lambda entry: entry.path):
        message = f"{_ARTICLES[entry.kind]} that does not belong here"
        yield Finding(escape_text(entry.path), message, STRAY_HINT, file=folder)
    if count > len(strays):
        yield Finding("...", f"{count - len(strays)} more names that do not belong here", STRAY_HINT, file=folder)


def check_entry(folder: str, path: str, size: int, entry: FolderEntry | None) -> Finding | None:
    """What is wrong with one expected file, before it is read."""
    if entry is None:
        return Finding(path, f"is missing ({size} bytes)", file=folder)
    if entry.kind != "file":
        return Finding(path, f"is {_ARTICLES[entry.kind]}; expected a regular file", file=folder)
    if entry.size != size:
        return Finding(path, f"has {entry.size} bytes; expected are {size}", file=folder)
    return None
