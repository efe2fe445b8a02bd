"""Compare two bundles by their manifests, and their configuration line by line where its parts are at hand.

In: paths of two bundles. Out: a ``Comparison``. Reads through ``BundleReader``; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.bundle.format.installed_paths import CONFIG_FOLDER, RENDERED_FOLDER
from stackctl.core.bundle.format.layout import part_name
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.manifest_reader import find_members, parse_manifest
from stackctl.core.bundle.format.opened import OpenedBundle, check_signature
from stackctl.core.bundle.format.signature import PublicKey
from stackctl.core.bundle.pack.diff import BundleDiff, Change, diff_bundles, render_lines
from stackctl.errors import BundleError, Finding, Severity
from stackctl.operations.bundle.check.copies import choose_copies
from stackctl.operations.bundle.check.reading import BundleReader

MAX_TEXT_BYTES = 1 << 20
_TEXT_FOLDERS = (f"{CONFIG_FOLDER}/", f"{RENDERED_FOLDER}/")

_Sources = Sequence[tuple[OpenedBundle, Manifest]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two bundles and what differs between them.

    Attributes:
        lines: unified diffs of changed configuration, by path.
        findings: warnings: what no signature vouches for, or could not be looked into.
    """

    old: Manifest
    new: Manifest
    diff: BundleDiff
    lines: dict[str, str]
    findings: tuple[Finding, ...]


def compare_bundles(reader: BundleReader, old: Path, new: Path, public_key: PublicKey | None) -> Comparison:
    """Compare two bundles; their parts may be elsewhere.

    Args:
        public_key: key to check signatures with; without a key or a signature the comparison says so and goes on.

    Raises:
        BundleError: a path is not one bundle, a signature is wrong, or a manifest cannot be read.
    """
    sides = [_open_one(reader, path) for path in (old, new)]
    verdicts = [check_signature(side, public_key, allow_unsigned=True) for side in sides]
    manifests = [parse_manifest(side.manifest_bytes, str(side.folder)) for side in sides]
    diff = diff_bundles(manifests[0], manifests[1])
    findings = [
        Finding("signature", verdict.warning, severity=Severity.WARNING)
        for verdict in verdicts
        if not verdict.is_signed
    ]
    lines: dict[str, str] = {}
    for change in diff.changes:
        if change.kind == "file" and change.name.startswith(_TEXT_FOLDERS):
            try:
                lines[change.name] = _compare_lines(reader, tuple(zip(sides, manifests, strict=True)), change)
            except BundleError as error:
                message = f"its lines cannot be compared: {error.message}"
                findings.append(Finding(change.name, message, error.hint, Severity.WARNING))
    return Comparison(manifests[0], manifests[1], diff, lines, tuple(findings))


def _open_one(reader: BundleReader, path: Path) -> OpenedBundle:
    opened = reader.open_bundles([path], ())
    if len(opened) != 1:
        raise BundleError(f"{path} holds {len(opened)} bundles; expected is one.", "name one bundle's folder")
    return opened[0]


def _compare_lines(reader: BundleReader, sources: _Sources, change: Change) -> str:
    texts = [_load_text(reader, sources, state.digest) if state else "" for state in (change.old, change.new)]
    return render_lines(change.name, texts[0], texts[1])


def _load_text(reader: BundleReader, sources: _Sources, sha256: str) -> str:
    """Text of a small file, from whichever of the bundles carries it."""
    for opened, manifest in sources:
        member = find_members(manifest).get(sha256)
        path = choose_copies(reader, opened, manifest)[0].get(part_name(member.part)) if member else None
        if member and path and member.size <= MAX_TEXT_BYTES:
            return b"".join(reader.read_blob(path, member, 0)).decode("utf-8", "replace")
    raise BundleError("the part that has it is not here, or it is too long for that", "copy the parts there too")
