"""Compare what ``offline-load`` installed at a site with the manifests it came with: every kept release, every chunk.

Nothing is written. Images are in the Docker engine, so whether they are there is asked of a function that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.core.bundle.format.folder_checks import check_entries
from stackctl.core.bundle.format.installed_paths import (
    CURRENT,
    FILES,
    LOAD_RECORD,
    MODEL_STORE,
    OFFLINE_FOLDER,
    PREVIOUS,
    RELEASES,
    STAGING,
    model_folder,
)
from stackctl.core.bundle.format.manifest import MANIFEST_NAME, SIGNATURE_NAME, Manifest, Model, ModelFile
from stackctl.core.bundle.format.manifest_reader import list_content, parse_manifest
from stackctl.core.bundle.format.opened import FolderEntry, SignatureVerdict, check_signature
from stackctl.core.bundle.format.signature import PublicKey
from stackctl.core.bundle.load.record import parse_record
from stackctl.core.text.printable import escape_text
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, Finding, Severity
from stackctl.operations.bundle.check.extra_files import build_findings
from stackctl.operations.bundle.check.reading import BundleReader
from stackctl.operations.bundle.check.verify import Verified

MAX_RECORD_BYTES = 1 << 16
CheckImages = Callable[[Manifest], Sequence[Finding]]
REPAIR_HINT = "load the bundle again with 'stackctl offline-load': what is right is kept"


def skip_images(manifest: Manifest) -> Sequence[Finding]:
    """Say that nobody looked at the images in the Docker engine."""
    if not manifest.images:
        return ()
    message = f"the engine's {len(manifest.images)} images were not checked"
    return (Finding("images", message, severity=Severity.WARNING),)


def verify_installed(
    reader: BundleReader,
    site: Path,
    public_key: PublicKey | None,
    *,
    allow_unsigned: bool = False,
    quick: bool = False,
    check_images: CheckImages = skip_images,
) -> tuple[Verified, ...]:
    """Verify all releases that a site keeps, the current one first.

    Args:
        quick: whether to check signatures, presence and sizes only.
        check_images: finds what the Docker engine lacks or has wrong of a manifest's images.

    Raises:
        BundleError: no release is installed at this site.
    """
    offline = site / OFFLINE_FOLDER
    names = _list_releases(reader, offline)
    read = [_read_release(reader, offline, name, public_key, allow_unsigned) for name in names]
    manifests = [item.manifest for item in read if item.manifest]
    total = 0 if quick else sum(_count_bytes(manifests))
    check = _Check(reader, offline, quick, Transfer("verifying", total, reader.report, reader.clock))
    found = [check.run(item, check_images) for item in read]
    # Whose a model is can be told only when every release says what it has.
    strays = tuple(check.find_strays(names, manifests if len(manifests) == len(read) else None))
    first = found[0]
    return (Verified(first.folder, first.manifest, first.verdict, first.findings + strays), *found[1:])


def _list_releases(reader: BundleReader, offline: Path) -> list[str]:
    """Names of all releases, the current one first."""
    current = reader.read_link(offline / CURRENT)
    entries = reader.list_entries(offline / RELEASES) if current else iter(())
    names = sorted(entry.path for entry in entries if "/" not in entry.path and entry.kind == "folder")
    if not names:
        raise BundleError(
            f"Nothing is installed at this site: {offline / CURRENT} is no link to a release.",
            "load a bundle with 'stackctl offline-load'",
        )
    return sorted(names, key=lambda name: name != Path(current).name)


def _read_release(
    reader: BundleReader, offline: Path, name: str, public_key: PublicKey | None, allow_unsigned: bool
) -> Verified:
    folder = offline / RELEASES / name
    verdict: SignatureVerdict | None = None
    try:
        (opened,) = reader.open_bundles([folder / MANIFEST_NAME], ())
        verdict = check_signature(opened, public_key, allow_unsigned)
        manifest = parse_manifest(opened.manifest_bytes)
    except BundleError as error:
        return Verified(folder, None, verdict, build_findings(folder, MANIFEST_NAME, error))
    warnings = []
    if not verdict.is_signed:
        warnings.append(Finding("signature", verdict.warning, severity=Severity.WARNING, file=str(folder)))
    if manifest.short_id != name:
        warnings.append(Finding(MANIFEST_NAME, f"is of {manifest.short_id}, not of this release", file=str(folder)))
    return Verified(folder, manifest, verdict, tuple(warnings))


def _count_bytes(manifests: Sequence[Manifest]) -> Iterator[int]:
    models = {model.digest: model for manifest in manifests for model in manifest.models}
    yield from (file.size for model in models.values() for file in model.files)
    yield from (file.size for manifest in manifests for file in manifest.files)


@dataclass(slots=True)
class _Check:
    """The checks of one run; a model that several releases use is read once."""

    reader: BundleReader
    offline: Path
    quick: bool
    transfer: Transfer
    models: dict[str, tuple[Finding, ...]] = field(default_factory=dict)

    def run(self, item: Verified, check_images: CheckImages) -> Verified:
        """Check everything about one release."""
        if item.manifest is None:
            return item
        findings = [*item.findings, *self._check_files(item.folder, item.manifest)]
        findings += self._check_images(item.folder, item.manifest, check_images)
        sizes = {content.sha256: content.size for content in list_content(item.manifest)}
        for model in item.manifest.models:
            if model.digest not in self.models:
                self.models[model.digest] = tuple(self._check_model(model, sizes))
            findings += self.models[model.digest]
        return Verified(item.folder, item.manifest, item.verdict, tuple(findings))

    def find_strays(self, names: Sequence[str], manifests: Sequence[Manifest] | None) -> Iterator[Finding]:
        """Find what lies beside the releases and belongs to none, and links that lead nowhere."""
        for link in (CURRENT, PREVIOUS):
            target = self.reader.read_link(self.offline / link)
            if target and target not in {f"{RELEASES}/{name}" for name in names}:
                yield Finding(link, f"leads to {escape_text(target)}, which is no release", file=str(self.offline))
        staged = [entry for entry in self._list(self.offline / STAGING) if "/" not in entry.path]
        if manifests is not None:
            yield from self._find_stray_models(manifests, is_loading=bool(staged))
        for entry in staged:
            message, hint = "was begun and not completed", "run 'stackctl offline-load' again to complete it"
            name = f"{STAGING}/{escape_text(entry.path)}"
            yield Finding(name, message, hint, Severity.WARNING, str(self.offline))

    def _find_stray_models(self, manifests: Sequence[Manifest], *, is_loading: bool) -> Iterator[Finding]:
        used = {str(model_folder(model.digest)) for manifest in manifests for model in manifest.models}
        # A load that was interrupted at its end has brought its models already, and does no harm.
        severity = Severity.WARNING if is_loading else Severity.ERROR
        for entry in self._list(self.offline / MODEL_STORE):
            path = f"{MODEL_STORE}/{entry.path}"
            if "/" not in entry.path and path not in used:
                message, hint = "belongs to no release that is kept", "remove it with 'stackctl offline-prune'"
                yield Finding(escape_text(path), message, hint, severity, str(self.offline))

    def _check_images(self, folder: Path, manifest: Manifest, check_images: CheckImages) -> Sequence[Finding]:
        """Check the images, which are missed only where loading gave them to a Docker engine."""
        entry = self.reader.measure(folder / LOAD_RECORD)
        is_small = entry is not None and entry.kind == "file" and entry.size <= MAX_RECORD_BYTES
        data = self.reader.read_whole(folder / LOAD_RECORD, MAX_RECORD_BYTES) if is_small else b""
        record = parse_record(data.decode("utf-8", "replace"))
        return check_images(manifest) if record is None or "compose" in record.runtimes else ()

    def _list(self, folder: Path) -> list[FolderEntry]:
        return list(self.reader.list_entries(folder)) if self.reader.measure(folder) else []

    def _check_files(self, folder: Path, manifest: Manifest) -> Iterator[Finding]:
        """Check a release's own files: configuration, wheels, SBOM, and the record of its load."""
        expected = {f"{FILES}/{file.path}": file.size for file in manifest.files}
        vouching = {MANIFEST_NAME, SIGNATURE_NAME, LOAD_RECORD}
        try:
            entries = self._list(folder)
            yield from check_entries(str(folder), expected, (e for e in entries if e.path not in vouching))
            if LOAD_RECORD not in {entry.path for entry in entries if entry.kind == "file"}:
                yield Finding(LOAD_RECORD, "is missing", file=str(folder))
        except BundleError as error:
            yield from build_findings(folder, FILES, error)
            return
        if not self.quick:
            yield from self._hash_files(folder, manifest, entries)

    def _hash_files(self, folder: Path, manifest: Manifest, entries: Sequence[FolderEntry]) -> Iterator[Finding]:
        """Hash those of a release's files that have the right size."""
        sizes = {entry.path: entry.size for entry in entries if entry.kind == "file"}
        files = [file for file in manifest.files if sizes.get(f"{FILES}/{file.path}") == file.size]
        jobs = [(folder / FILES / file.path, file.size) for file in files]
        for file, seen in zip(files, self.reader.hash_parts(jobs, self.transfer.add), strict=True):
            if isinstance(seen, BundleError):
                yield from build_findings(folder, f"{FILES}/{file.path}", seen)
            elif seen != file.sha256:
                yield Finding(f"{FILES}/{file.path}", f"is altered: it hashes to {seen}", file=str(folder))

    def _check_model(self, model: Model, sizes: dict[str, int]) -> Iterator[Finding]:
        folder = self.offline / model_folder(model.digest)
        try:
            entries = self._list(folder)
            yield from check_entries(str(folder), {file.path: file.size for file in model.files}, entries)
        except BundleError as error:
            yield from build_findings(folder, model.served_names[0], error)
            return
        here = {entry.path: entry.size for entry in entries if entry.kind == "file"}
        for file in model.files:
            if not self.quick and here.get(file.path) == file.size:
                yield from self._check_chunks(folder, file, [sizes[chunk] for chunk in file.chunks])

    def _check_chunks(self, folder: Path, file: ModelFile, sizes: list[int]) -> Iterator[Finding]:
        offset = 0
        try:
            seen = self.reader.hash_chunks(folder / file.path, sizes, self.transfer.add)
            for expected, digest, size in zip(file.chunks, seen, sizes, strict=True):
                if digest != expected:
                    message = f"its bytes {offset} to {offset + size - 1} are altered"
                    yield Finding(file.path, message, file=str(folder))
                offset += size
        except BundleError as error:
            yield from build_findings(folder, file.path, error)
