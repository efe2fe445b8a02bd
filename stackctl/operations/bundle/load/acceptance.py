"""A bundle that has come to this site: its signature checked, its manifest read, and all that can stop a load found.

In: what the operator asked for. Out: ``AcceptedBundle`` and ``Job`` values, or one error with every reason. Reads
through its effects; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.layout import part_name
from stackctl.core.bundle.format.manifest import ID_DIGITS, Manifest, Member
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from stackctl.core.bundle.format.opened import OpenedBundle, SignatureVerdict, check_signature
from stackctl.core.bundle.load.checks import check_machine, check_version
from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.sources import pick_source
from stackctl.errors import BundleError, Finding, Severity
from stackctl.operations.bundle.check.copies import find_whole_copies
from stackctl.operations.bundle.check.extra_files import check_bootstrap, check_folders
from stackctl.operations.bundle.load.installed import Installed
from stackctl.operations.site.current_release import check_own_stack

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.effects import ImageEngine, LoadEffects, LoadRequest
    from stackctl.operations.effects import Effects

FROM_HINT = "connect the disk that it is on and run the command again, with --from FOLDER for where it lies"


@dataclass(frozen=True, slots=True)
class AcceptedBundle:
    """A bundle whose signature was checked and whose manifest was read.

    Attributes:
        copies: whole files of each part, by the part's name, as far as has been looked.
    """

    opened: OpenedBundle
    manifest: Manifest
    verdict: SignatureVerdict
    copies: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def list_copies(self, member: Member) -> tuple[Path, ...]:
        """Whole files of the part that has this member; none while the part is not reachable."""
        return self.copies.get(part_name(member.part), ())

    def find_part(self, member: Member) -> Path | None:
        """Path of the part that has this member; ``None`` while the part is not reachable."""
        return next(iter(self.list_copies(member)), None)


@dataclass(frozen=True, slots=True)
class Job:
    """One bundle that may be loaded, with the effects, the site's releases and the warnings so far.

    Attributes:
        engine: the Docker engine; ``None`` where none answers, the site runs processes, or the bundle is not for one.
    """

    effects: Effects
    load: LoadEffects
    accepted: AcceptedBundle
    installed: Installed
    engine: ImageEngine | None
    warnings: tuple[Finding, ...]

    @property
    def manifest(self) -> Manifest:
        """What the bundle says it holds."""
        return self.accepted.manifest

    @property
    def base(self) -> Manifest | None:
        """The installed release that a delta builds on."""
        base = self.manifest.base
        return self.installed.releases.get(base.id[:ID_DIGITS]) if base else None

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Runtimes that the bundle serves here once it is loaded."""
        return tuple(name for name in self.manifest.runtimes if name != "compose" or self.engine is not None)


def accept_bundles(load: LoadEffects, request: LoadRequest) -> tuple[AcceptedBundle, ...]:
    """Find the bundles, the oldest first; each one's signature is checked before anything of it is parsed.

    A disk with parts alone goes on with loads that were begun here.
    """
    accepted: dict[bytes, AcceptedBundle] = {}
    bundles, folders = load.reader.sort_paths(request.bundles, request.folders)
    for opened in load.reader.open_bundles(bundles or (*load.folder.list_begun(), *request.bundles), folders):
        verdict = check_signature(opened, request.public_key, request.allow_unsigned)
        twin = accepted.get(opened.manifest_bytes)
        if twin is None:
            manifest = parse_manifest(opened.manifest_bytes, str(opened.folder))
            accepted[opened.manifest_bytes] = AcceptedBundle(opened, manifest, verdict)
        else:
            # One bundle on two disks, some of its parts on each.
            accepted[opened.manifest_bytes] = replace(twin, opened=twin.opened.join(opened))
    items = accepted.values()
    return tuple(sorted(items, key=lambda item: (item.manifest.name, item.manifest.version, item.manifest.id)))


def choose_bundles(accepted: Sequence[AcceptedBundle], installed: Installed) -> frozenset[str]:
    """Ids of the bundles to load: of each stack the newest, and what it builds on as far as that is not here."""
    by_id = {item.manifest.id: item for item in accepted}
    chosen: set[str] = set()
    item: AcceptedBundle | None
    for item in {item.manifest.name: item for item in accepted}.values():
        while item is not None:
            chosen.add(item.manifest.id)
            base = item.manifest.base
            item = by_id.get(base.id) if base and base.id[:ID_DIGITS] not in installed.releases else None
    return frozenset(chosen)


def prepare_job(
    effects: Effects, load: LoadEffects, request: LoadRequest, accepted: AcceptedBundle, installed: Installed
) -> Job:
    """Check everything that can be known before anything is written.

    Raises:
        BundleError: the bundle cannot be loaded here; has all reasons at once.
    """
    manifest = accepted.manifest
    copies, damaged = find_whole_copies(load.reader, accepted.opened, manifest)
    accepted = replace(accepted, copies=copies)
    dotenv = parse_dotenv(effects.files.load_text(effects.paths.site / ".env") or "")
    runtime, _ = pick_source("STACK_RUNTIME", (effects.given.flags, effects.given.environment, dotenv.values))
    # A site of processes has no use for images; a Docker engine that answers belongs to somebody else there.
    machine = replace(load.machine, docker="") if _is_for_processes(manifest, runtime) else load.machine
    findings = [
        *check_machine(manifest, machine),
        *check_version(manifest, installed.running, allow_downgrade=request.allow_downgrade),
        *_check_base(manifest, installed),
        *check_own_stack(effects, manifest),
        *dotenv.findings,
        *_check_folders(load, accepted),
        *damaged,
        *(_list_absent(load, accepted) if damaged else ()),
    ]
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise BundleError(f"{accepted.opened.folder} cannot be loaded here.", errors[0].hint, errors)
    engine = load.connect_engine() if machine.docker and "compose" in manifest.runtimes else None
    warnings = [finding for finding in findings if finding.severity is Severity.WARNING]
    if accepted.verdict.warning:
        warnings.append(Finding("signature", accepted.verdict.warning, severity=Severity.WARNING))
    return Job(effects, load, accepted, installed, engine, tuple(warnings))


def _is_for_processes(manifest: Manifest, runtime: str | None) -> bool:
    return runtime == "process" and "process" in manifest.runtimes


def _check_base(manifest: Manifest, installed: Installed) -> Iterator[Finding]:
    base = manifest.base
    if base is None or base.id in {item.id for item in installed.releases.values()}:
        return
    there = ", ".join(f"{item.version} ({item.short_id})" for item in installed.releases.values()) or "none"
    message = f"this delta builds on version {base.version} ({base.id[:12]}), which is not installed; here are: {there}"
    yield Finding("base", message, "load that bundle first, or a full one")


def _check_folders(load: LoadEffects, accepted: AcceptedBundle) -> Iterator[Finding]:
    """Check what lies beside the parts; on a further disk, and in a load that was begun, not all of it does."""
    opened, manifest = accepted.opened, accepted.manifest
    folders = [folder for folder in opened.folders if not folder.is_relative_to(load.folder.root)]
    if not folders:
        return
    opened = replace(opened, folder=folders[0], twins=tuple(folders[1:]))
    here = {path.parent for part in manifest.parts for path in opened.parts.get(part.name, ())}
    may_lack = len(opened.parts.keys() & {part.name for part in manifest.parts}) < len(manifest.parts) or bool(
        here - set(folders)
    )
    yield from check_folders(load.reader, opened, manifest, may_lack=may_lack)
    yield from check_bootstrap(load.reader, opened, manifest)


def _list_absent(load: LoadEffects, accepted: AcceptedBundle) -> Iterator[Finding]:
    """Find parts that are still to come; of a load that was begun, some may not be needed any more."""
    if accepted.manifest.short_id in load.folder.list_staging():
        return
    for part in accepted.manifest.parts:
        if part.name not in accepted.opened.parts:
            yield Finding(part.name, f"is not here yet ({part.size} bytes)", FROM_HINT)
