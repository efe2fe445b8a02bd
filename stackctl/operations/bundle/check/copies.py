"""Which file to read each part of a bundle from: its parts may lie on several disks, and some copies may be bad.

In: an opened bundle and its manifest. Out: paths, and findings. Reads through ``BundleReader``; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from stackctl.core.bundle.format.layout import part_name
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.opened import OpenedBundle
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.check.reading import BundleReader

COPY_HINT = "copy this part again from its source"


def list_copies(reader: BundleReader, opened: OpenedBundle, manifest: Manifest, number: int) -> Iterator[Path]:
    """Every file that may be this part: in the bundle's own folders by its name, elsewhere by how it begins.

    Args:
        number: the part's number, from 1.
    """
    for path in opened.parts.get(part_name(number), ()):
        if path.parent in opened.folders or reader.begins_part(path, manifest, number):
            yield path


def choose_copies(
    reader: BundleReader, opened: OpenedBundle, manifest: Manifest
) -> tuple[dict[str, Path], list[tuple[str, Path, int]]]:
    """Choose one file for each part that is there, a whole one where there is one, judged by sizes.

    Returns:
        The file of each part, by the part's name, and the files that a whole copy stands in for: part's name, path,
        size in bytes.
    """
    chosen: dict[str, Path] = {}
    cut: list[tuple[str, Path, int]] = []
    for number, part in enumerate(manifest.parts, 1):
        sizes = {path: _measure(reader, path) for path in list_copies(reader, opened, manifest, number)}
        whole = next((path for path, size in sizes.items() if size == part.size), None)
        if sizes:
            chosen[part.name] = whole or next(iter(sizes))
        cut += [(part.name, path, size) for path, size in sizes.items() if whole and size not in (None, part.size)]
    return chosen, cut


def find_whole_copies(
    reader: BundleReader, opened: OpenedBundle, manifest: Manifest
) -> tuple[Mapping[str, tuple[Path, ...]], list[Finding]]:
    """Look into every copy of every part, at everything but the data that is checked when it is used.

    Returns:
        The whole files of each part, by the part's name, and a finding for each part that is there and has none.
    """
    found: dict[str, tuple[Path, ...]] = {}
    damaged: list[Finding] = []
    unread = _list_unread(manifest)
    for number, part in enumerate(manifest.parts, 1):
        wrong = {
            path: _find_damage(reader, path, manifest, number, unread)
            for path in list_copies(reader, opened, manifest, number)
        }
        whole = tuple(path for path, error in wrong.items() if error is None)
        if whole:
            found[part.name] = whole
        for path, error in [] if whole else list(wrong.items())[:1]:
            assert error is not None
            damaged.append(Finding(part.name, f"is damaged: {error.message}", error.hint, file=str(path.parent)))
    return found, damaged


def _list_unread(manifest: Manifest) -> frozenset[str]:
    """SHA-256 of the members that loading does not read."""
    indexes = {image.index.digest.removeprefix("sha256:") for image in manifest.images if image.index}
    return frozenset({member.sha256 for member in manifest.layout} | indexes)


def _find_damage(
    reader: BundleReader, path: Path, manifest: Manifest, number: int, hashed: frozenset[str]
) -> BundleError | None:
    try:
        seen = reader.find_frame_damage(path, manifest, number, hashed)
    except BundleError as error:
        return error
    return BundleError(seen, COPY_HINT) if seen else None


def _measure(reader: BundleReader, path: Path) -> int | None:
    """Size of a regular file in bytes; None where there is none."""
    try:
        entry = reader.measure(path)
    except BundleError:
        return None
    return entry.size if entry and entry.kind == "file" else None
