"""Compare bundles with their manifests, and the manifests with their signatures: everything wrong, in one run.

Nothing is written. A manifest without a good signature is not parsed, so a wrong signature is all that is said of its
bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackctl.core.bundle.format.folder_checks import check_entry
from stackctl.core.bundle.format.manifest import MANIFEST_NAME, Manifest, Part
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from stackctl.core.bundle.format.opened import FolderEntry, OpenedBundle, SignatureVerdict, check_signature
from stackctl.core.bundle.format.signature import PublicKey
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, Finding, Severity
from stackctl.operations.bundle.check.copies import COPY_HINT, choose_copies
from stackctl.operations.bundle.check.extra_files import build_altered, build_findings, check_folders, list_bootstrap
from stackctl.operations.bundle.check.reading import BundleReader
from stackctl.operations.bundle.check.whole_models import WholeModels

VERIFY_HINT = "copy the named files again from the bundle's source, then verify again"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found out about one bundle.

    Attributes:
        manifest: manifest of the bundle; ``None`` where it may not or cannot be parsed.
        verdict: who vouches for the bundle; ``None`` where the signature does not hold.
        findings: everything found, warnings included.
    """

    folder: Path
    manifest: Manifest | None
    verdict: SignatureVerdict | None
    findings: tuple[Finding, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong with the bundle."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a file turned out to be; the digest is empty where it was not read.

    Attributes:
        contradictions: findings on models that end in this part and are not what the manifest says of them as a whole.
    """

    entry: FolderEntry | None
    digest: str = ""
    error: BundleError | None = None
    contradictions: tuple[Finding, ...] = ()

    @property
    def size(self) -> int | None:
        """Size of the file in bytes; None where it is no regular file."""
        return self.entry.size if self.entry and self.entry.kind == "file" else None


@dataclass(frozen=True, slots=True)
class _Readable:
    """A bundle whose manifest may be relied on.

    Attributes:
        parts: file that each part is read from, by the part's name.
        cut: copies that are not whole, beside one that is: part's name, path, size in bytes.
    """

    opened: OpenedBundle
    manifest: Manifest
    verdict: SignatureVerdict
    parts: Mapping[str, Path] = field(default_factory=dict)
    cut: Sequence[tuple[str, Path, int]] = ()

    def list_files(self) -> Iterator[tuple[Path, int, str]]:
        """Every file to hash: its path, size in bytes and digest."""
        for part in self.manifest.parts:
            if part.name in self.parts:
                yield self.parts[part.name], part.size, part.sha256
        for folder, path, size, sha256 in list_bootstrap(self.opened, self.manifest):
            yield folder / path, size, sha256


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
        paths: paths of bundles, as ``open_bundles`` takes them.
        extra_folders: further folders in which parts may lie.
        quick: whether to check signature, manifest, presence and sizes only; then no part is read.
    """
    opened = _open_each(reader, paths, extra_folders)
    read = [item if isinstance(item, Verified) else _read_manifest(item, public_key, allow_unsigned) for item in opened]
    read = _join_twins(reader, read)
    readable = [bundle for bundle in read if isinstance(bundle, _Readable)]
    check = _Check(reader, _look_at_files(reader, readable, quick), _name_parts(readable), quick)
    return tuple(check.run(bundle) if isinstance(bundle, _Readable) else bundle for bundle in read)


def _open_each(
    reader: BundleReader, paths: Sequence[Path], extra_folders: Sequence[Path]
) -> Iterator[OpenedBundle | Verified]:
    """Open each bundle once; one that cannot be opened comes back with the reason."""
    seen: set[Path] = set()
    bundles, extra_folders = reader.sort_paths(paths, extra_folders)
    for path in bundles or paths:
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


def _join_twins(reader: BundleReader, read: Sequence[_Readable | Verified]) -> list[_Readable | Verified]:
    """Join the folders of one bundle that lies on several disks, so that it is verified as one."""
    joined: dict[bytes | int, _Readable | Verified] = {}
    for number, item in enumerate(read):
        key = item.opened.manifest_bytes if isinstance(item, _Readable) else number
        twin = joined.get(key)
        if isinstance(item, _Readable) and isinstance(twin, _Readable):
            joined[key] = replace(twin, opened=twin.opened.join(item.opened))
        else:
            joined[key] = item
    return [_choose_parts(reader, item) if isinstance(item, _Readable) else item for item in joined.values()]


def _choose_parts(reader: BundleReader, bundle: _Readable) -> _Readable:
    parts, cut = choose_copies(reader, bundle.opened, bundle.manifest)
    return replace(bundle, parts=parts, cut=cut)


def _look_at_files(reader: BundleReader, bundles: Sequence[_Readable], quick: bool) -> dict[Path, _Seen]:
    """Look at each path, and hash what is there in the size of one of these files, of whichever bundle."""
    files = [file for bundle in bundles for file in bundle.list_files()]
    seen = {path: _measure(reader, path) for path, _, _ in files}
    if quick:
        return seen
    sizes = {size for _, size, _ in files}
    jobs = {path: item.size for path, item in seen.items() if item.size in sizes and item.size is not None}
    transfer = Transfer("verifying", sum(jobs.values()), reader.report, reader.clock)
    models = {bundle.manifest.id: WholeModels(reader, bundle.manifest, bundle.parts) for bundle in bundles}
    parts = _list_parts(bundles)
    for path, result in zip(jobs, reader.hash_parts(tuple(jobs.items()), transfer.add), strict=True):
        entry = seen[path].entry
        if isinstance(result, BundleError):
            seen[path] = _Seen(entry, error=result)
            continue
        found: tuple[Finding, ...] = ()
        if path in parts:
            bundle, part = parts[path]
            found = tuple(models[bundle.manifest.id].go_on(part.name)) if result == part.sha256 else ()
        seen[path] = _Seen(entry, digest=result, contradictions=found)
    return seen


def _measure(reader: BundleReader, path: Path) -> _Seen:
    try:
        return _Seen(reader.measure(path))
    except BundleError as error:
        return _Seen(None, error=error)


def _list_parts(bundles: Sequence[_Readable]) -> dict[Path, tuple[_Readable, Part]]:
    """Each part that is here, and the bundle that it is of, by path."""
    return {
        bundle.parts[part.name]: (bundle, part)
        for bundle in bundles
        for part in bundle.manifest.parts
        if part.name in bundle.parts
    }


def _name_parts(bundles: Sequence[_Readable]) -> dict[str, str]:
    """The part and bundle that each digest belongs to, in words."""
    return {
        part.sha256: f"{part.name} of {bundle.manifest.folder}" for bundle in bundles for part in bundle.manifest.parts
    }


@dataclass(frozen=True, slots=True)
class _Check:
    """The checks of one run.

    Attributes:
        owners: name in words of every part, by the part's digest.
    """

    reader: BundleReader
    seen: Mapping[Path, _Seen]
    owners: Mapping[str, str]
    quick: bool

    def run(self, bundle: _Readable) -> Verified:
        """Check everything about one bundle."""
        findings = [*self._check_folder(bundle)]
        for number, part in enumerate(bundle.manifest.parts, 1):
            findings += self._check_part(bundle, number, part)
        for folder, path, size, sha256 in list_bootstrap(bundle.opened, bundle.manifest):
            findings += self._check_bootstrap(folder, path, size, sha256)
        return Verified(bundle.opened.folder, bundle.manifest, bundle.verdict, tuple(findings))

    def _check_folder(self, bundle: _Readable) -> Iterator[Finding]:
        if not bundle.verdict.is_signed:
            place = str(bundle.opened.folder)
            yield Finding("signature", bundle.verdict.warning, severity=Severity.WARNING, file=place)
        yield from check_folders(self.reader, bundle.opened, bundle.manifest)
        for name, path, size in bundle.cut:
            message = f"has {size} bytes and is not used: {bundle.parts[name].parent} has a whole one"
            yield Finding(name, message, "remove it", Severity.WARNING, str(path.parent))

    def _check_bootstrap(self, folder: Path, path: str, size: int, sha256: str) -> Iterator[Finding]:
        seen = self.seen[folder / path]
        if seen.error is not None:
            yield from build_findings(folder, path, seen.error)
        elif seen.digest not in ("", sha256) and seen.size == size:
            yield build_altered(folder, path, seen.digest)

    def _check_part(self, bundle: _Readable, number: int, part: Part) -> Iterator[Finding]:
        path = bundle.parts.get(part.name)
        if path is None:
            hint, folder = "name the folder that it is in with --from", str(bundle.opened.folder)
            yield Finding(part.name, f"is not here yet ({part.size} bytes)", hint, file=folder)
            return
        seen = self.seen[path]
        if seen.error is not None:
            yield from build_findings(path.parent, part.name, seen.error)
            return
        yield from (replace(finding, file=str(bundle.opened.folder)) for finding in seen.contradictions)
        if seen.digest != part.sha256 and seen.digest in self.owners:
            yield Finding(part.name, f"is {self.owners[seen.digest]}", "give it back its name", file=str(path.parent))
            return
        wrong = check_entry(str(path.parent), part.name, part.size, seen.entry)
        found: list[Finding] = []
        if not self.quick and seen.size is not None and (seen.digest != part.sha256 or not bundle.verdict.is_signed):
            # What nobody signed may have a digest that fits and content that does not.
            found = list(self._locate(bundle.manifest, number, path, is_whole=seen.digest == part.sha256))
        if wrong and found and seen.size is not None:
            # One line says both: how long it is, and what begins where it ends.
            wrong, *found = replace(wrong, message=f"{wrong.message}; {found[-1].message}"), *found[:-1]
        for finding in [wrong, *found] if wrong else found:
            yield replace(finding, message=f"is damaged: {finding.message}", hint=finding.hint or COPY_HINT)

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
