"""Compare bundles with their manifests, and the manifests with their signatures: everything wrong, in one run.

Nothing is written. What is not vouched for is not parsed, so a wrong signature is all that is said of its bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.bundle.folder_checks import check_bundle_folder, check_entry
from stackctl.core.bundle.manifest import (
    BOOTSTRAP_FOLDER,
    MANIFEST_NAME,
    SUMS_NAME,
    BootstrapFile,
    Manifest,
    Part,
    render_sums,
)
from stackctl.core.bundle.manifest_reader import parse_manifest
from stackctl.core.bundle.opened import FolderEntry, OpenedBundle, SignatureVerdict, check_signature
from stackctl.core.bundle.signature import PublicKey
from stackctl.core.progress import Transfer
from stackctl.errors import BundleError, Finding, Severity
from stackctl.operations.offline.reading import BundleReader

VERIFY_HINT = "copy the named files again from the bundle's source, then verify again"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found out about one bundle.

    Attributes:
        manifest: ``None`` where it may not be parsed or cannot be.
        verdict: ``None`` where the signature does not hold.
        findings: warnings included.
    """

    folder: Path
    manifest: Manifest | None
    verdict: SignatureVerdict | None
    findings: tuple[Finding, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a file turned out to be; the digest is empty where it was not read."""

    entry: FolderEntry | None
    digest: str = ""
    error: BundleError | None = None

    @property
    def size(self) -> int | None:
        """Of a regular file."""
        return self.entry.size if self.entry and self.entry.kind == "file" else None


@dataclass(frozen=True, slots=True)
class _Readable:
    """A bundle whose manifest may be relied on."""

    opened: OpenedBundle
    manifest: Manifest
    verdict: SignatureVerdict

    def list_files(self) -> Iterator[tuple[Path, int, str]]:
        """Every file to hash: where it is, its size and its digest."""
        for part in self.manifest.parts:
            if part.name in self.opened.parts:
                yield self.opened.parts[part.name], part.size, part.sha256
        for file in self.manifest.bootstrap:
            yield self.opened.folder / BOOTSTRAP_FOLDER / file.path, file.size, file.sha256


def verify_bundles(
    reader: BundleReader,
    paths: Sequence[Path],
    public_key: PublicKey | None,
    *,
    extra_folders: Sequence[Path] = (),
    allow_unsigned: bool = False,
    quick: bool = False,
) -> tuple[Verified, ...]:
    """Verify several bundles at once; one that is bad does not keep the others from being checked.

    Args:
        paths: of bundles, as ``open_bundles`` takes them.
        extra_folders: where else parts may lie.
        quick: signature, manifest, presence and sizes only; no part is read.
    """
    opened = _open_each(reader, paths, extra_folders)
    read = [item if isinstance(item, Verified) else _read_manifest(item, public_key, allow_unsigned) for item in opened]
    readable = [bundle for bundle in read if isinstance(bundle, _Readable)]
    check = _Check(reader, _look_at_files(reader, readable, quick), _name_parts(readable), quick)
    return tuple(check.run(bundle) if isinstance(bundle, _Readable) else bundle for bundle in read)


def _open_each(
    reader: BundleReader, paths: Sequence[Path], extra_folders: Sequence[Path]
) -> Iterator[OpenedBundle | Verified]:
    """Each bundle once, or why it cannot be opened."""
    seen: set[Path] = set()
    for path in paths:
        try:
            folders = reader.find_folders(path)
        except BundleError as error:
            yield Verified(path, None, None, build_findings(path, path.name, error))
            continue
        for folder in folders:
            if folder not in seen:
                seen.add(folder)
                yield _open_one(reader, folder, extra_folders)


def _open_one(reader: BundleReader, folder: Path, extra_folders: Sequence[Path]) -> OpenedBundle | Verified:
    try:
        return reader.open_bundles([folder / MANIFEST_NAME], extra_folders)[0]
    except BundleError as error:
        return Verified(folder, None, None, build_findings(folder, MANIFEST_NAME, error))


def _read_manifest(opened: OpenedBundle, public_key: PublicKey | None, allow_unsigned: bool) -> _Readable | Verified:
    verdict = None
    try:
        verdict = check_signature(opened, public_key, allow_unsigned)
        return _Readable(opened, parse_manifest(opened.manifest_bytes), verdict)
    except BundleError as error:
        return Verified(opened.folder, None, verdict, build_findings(opened.folder, MANIFEST_NAME, error))


def build_findings(folder: Path, subject: str, error: BundleError) -> tuple[Finding, ...]:
    """An error as findings of a report: its own ones with their place, or the error itself."""
    if not error.findings:
        return (Finding(subject, error.message, error.hint, file=str(folder)),)
    return tuple(
        Finding(subject, f"{finding.subject}: {finding.message}", finding.hint, finding.severity, str(folder))
        for finding in error.findings
    )


def _look_at_files(reader: BundleReader, bundles: Sequence[_Readable], quick: bool) -> dict[Path, _Seen]:
    """What lies at each path, and the digest of all that may be whole, or somebody else's, by its size."""
    files = [file for bundle in bundles for file in bundle.list_files()]
    sizes = {size for _, size, _ in files}
    seen: dict[Path, _Seen] = {}
    for path, _, _ in files:
        try:
            seen[path] = _Seen(reader.measure(path))
        except BundleError as error:
            seen[path] = _Seen(None, error=error)
    if quick:
        return seen
    jobs = {path: item.size for path, item in seen.items() if item.size in sizes and item.size is not None}
    transfer = Transfer("verifying", sum(jobs.values()), reader.report, reader.clock)
    for path, result in zip(jobs, reader.hash_parts(tuple(jobs.items()), transfer.add), strict=True):
        entry = seen[path].entry
        seen[path] = _Seen(entry, error=result) if isinstance(result, BundleError) else _Seen(entry, digest=result)
    return seen


def _name_parts(bundles: Sequence[_Readable]) -> dict[str, str]:
    """Which part of which bundle has a digest."""
    return {
        part.sha256: f"{part.name} of {bundle.manifest.folder}" for bundle in bundles for part in bundle.manifest.parts
    }


@dataclass(frozen=True, slots=True)
class _Check:
    """The judgement of one run.

    Attributes:
        owners: digest of every part to what it is called.
    """

    reader: BundleReader
    seen: Mapping[Path, _Seen]
    owners: Mapping[str, str]
    quick: bool

    def run(self, bundle: _Readable) -> Verified:
        """Everything about one bundle."""
        findings = [*self._check_folder(bundle)]
        for number, part in enumerate(bundle.manifest.parts, 1):
            findings += self._check_part(bundle, number, part)
        for file in bundle.manifest.bootstrap:
            findings += self._check_bootstrap(bundle.opened.folder, file)
        return Verified(bundle.opened.folder, bundle.manifest, bundle.verdict, tuple(findings))

    def _check_folder(self, bundle: _Readable) -> Iterator[Finding]:
        folder, manifest = bundle.opened.folder, bundle.manifest
        if not bundle.verdict.is_signed:
            yield Finding("signature", bundle.verdict.warning, severity=Severity.WARNING, file=str(folder))
        try:
            yield from check_bundle_folder(str(folder), manifest, self.reader.list_entries(folder))
            yield from self._check_sums(folder, render_sums(manifest).encode())
        except BundleError as error:
            yield from build_findings(folder, folder.name, error)

    def _check_sums(self, folder: Path, expected: bytes) -> Iterator[Finding]:
        entry = self.reader.measure(folder / SUMS_NAME)
        if entry is None or entry.kind != "file" or entry.size != len(expected):
            return  # the folder's check has said so
        if self.reader.read_whole(folder / SUMS_NAME, len(expected)) != expected:
            yield Finding(SUMS_NAME, "is altered: its lines are not the manifest's", file=str(folder))

    def _check_bootstrap(self, folder: Path, file: BootstrapFile) -> Iterator[Finding]:
        name = f"{BOOTSTRAP_FOLDER}/{file.path}"
        seen = self.seen[folder / BOOTSTRAP_FOLDER / file.path]
        if seen.error is not None:
            yield from build_findings(folder, name, seen.error)
        elif seen.digest not in ("", file.sha256) and seen.size == file.size:
            yield Finding(name, f"is altered: it hashes to {seen.digest}", file=str(folder))

    def _check_part(self, bundle: _Readable, number: int, part: Part) -> Iterator[Finding]:
        path = bundle.opened.parts.get(part.name)
        if path is None:
            hint, folder = "name the folder that it is in with --from", str(bundle.opened.folder)
            yield Finding(part.name, f"is missing ({part.size} bytes)", hint, file=folder)
            return
        seen = self.seen[path]
        if seen.error is not None:
            yield from build_findings(path.parent, part.name, seen.error)
            return
        wrong = check_entry(str(path.parent), part.name, part.size, seen.entry)
        if wrong:
            yield wrong
        if seen.digest != part.sha256 and seen.digest in self.owners:
            yield Finding(part.name, f"is {self.owners[seen.digest]}", "give it back its name", file=str(path.parent))
        elif not self.quick and seen.size is not None and (seen.digest != part.sha256 or not bundle.verdict.is_signed):
            # What nobody signed may have a digest that fits and content that does not.
            yield from self._locate(bundle.manifest, number, path, is_whole=seen.digest == part.sha256)

    def _locate(self, manifest: Manifest, number: int, path: Path, *, is_whole: bool) -> Iterator[Finding]:
        self.reader.report(f"looking into {path.name}")
        try:
            found = self.reader.locate_damage(path, manifest, number)
        except BundleError as error:
            yield from build_findings(path.parent, path.name, error)
            return
        if not found and not is_whole:
            message = f"does not hash to what the manifest says ({manifest.parts[number - 1].sha256})"
            yield Finding(path.name, message, "check the disk that it is on", file=str(path.parent))
        yield from found
