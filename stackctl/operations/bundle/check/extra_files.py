"""What lies beside a bundle's parts: ``SHA256SUMS``, the bootstrap files, and nothing else.

In: an opened bundle and its manifest. Out: findings. Reads through ``BundleReader``; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stackctl.core.bundle.format.folder_checks import check_bundle_folder, list_bundle_files
from stackctl.core.bundle.format.manifest import BOOTSTRAP_FOLDER, SUMS_NAME, Manifest, render_sums
from stackctl.core.bundle.format.opened import FolderEntry, OpenedBundle
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.check.reading import BundleReader


def check_folders(
    reader: BundleReader, opened: OpenedBundle, manifest: Manifest, *, may_lack: bool = False
) -> Iterator[Finding]:
    """Check names, sizes and ``SHA256SUMS`` in every folder of a bundle; bootstrap files are not read.

    Args:
        may_lack: whether files may be missing, because they are on another disk.
    """
    expected, seen = list_bundle_files(manifest), set[str]()

    def note(entries: Iterable[FolderEntry]) -> Iterator[FolderEntry]:
        for entry in entries:
            seen.update({entry.path} & expected.keys())
            yield entry

    for folder in opened.folders:
        try:
            yield from check_bundle_folder(str(folder), manifest, note(reader.list_entries(folder)))
            yield from _check_sums(reader, folder, render_sums(manifest).encode())
        except BundleError as error:
            yield from build_findings(folder, folder.name, error)
    for path in () if may_lack else sorted(expected.keys() - seen):
        yield Finding(path, f"is missing ({expected[path]} bytes)", file=str(opened.folder))


def list_bootstrap(opened: OpenedBundle, manifest: Manifest) -> Iterator[tuple[Path, str, int, str]]:
    """Every bootstrap file that should be there: its folder, path in it, size in bytes and digest."""
    for folder in opened.folders:
        for file in manifest.bootstrap:
            yield folder, f"{BOOTSTRAP_FOLDER}/{file.path}", file.size, file.sha256


def check_bootstrap(reader: BundleReader, opened: OpenedBundle, manifest: Manifest) -> Iterator[Finding]:
    """Check the bootstrap files that are there in full size, by reading them."""
    files = []
    for folder, path, size, sha256 in list_bootstrap(opened, manifest):
        entry = reader.measure(folder / path)
        if entry and entry.kind == "file" and entry.size == size:
            files.append((folder, path, size, sha256))
    progress = Transfer("checking bootstrap files", sum(size for _, _, size, _ in files), reader.report, reader.clock)
    digests = reader.hash_parts([(folder / path, size) for folder, path, size, _ in files], progress.add)
    for (folder, path, _, sha256), digest in zip(files, digests, strict=True):
        if isinstance(digest, BundleError):
            yield from build_findings(folder, path, digest)
        elif digest != sha256:
            yield build_altered(folder, path, digest)


def build_altered(folder: Path, path: str, digest: str) -> Finding:
    """The finding for a file whose bytes are not the manifest's."""
    return Finding(path, f"is altered: it hashes to {digest}", file=str(folder))


def build_findings(folder: Path, subject: str, error: BundleError) -> tuple[Finding, ...]:
    """An error as findings of a report: the error's own findings with their place, or the error itself."""
    if not error.findings:
        return (Finding(subject, error.message, error.hint, file=str(folder)),)
    return tuple(
        Finding(subject, f"{finding.subject}: {finding.message}", finding.hint, finding.severity, str(folder))
        for finding in error.findings
    )


def _check_sums(reader: BundleReader, folder: Path, expected: bytes) -> Iterator[Finding]:
    entry = reader.measure(folder / SUMS_NAME)
    if entry is None or entry.kind != "file" or entry.size != len(expected):
        return  # the folder's check has said so
    if reader.read_whole(folder / SUMS_NAME, len(expected)) != expected:
        yield Finding(SUMS_NAME, "is altered: its lines are not the manifest's", file=str(folder))
