"""Pack the current stack into an air-gapped bundle: gather, plan, compare with what is there, write, sign last.

In: a ``PackRequest``. Out: a ``PackResult``. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.pack.packed_versions import PackedVersion
from stackctl.core.bundle.pack.plan import (
    Contents,
    Draft,
    build_draft,
    find_newest_version,
    is_contained,
    is_same_content,
)
from stackctl.core.text.progress import Transfer
from stackctl.operations.bundle.pack.contents import gather_contents
from stackctl.operations.bundle.pack.draft_checks import check_base, check_readable, check_space
from stackctl.operations.bundle.pack.effects import PackEffects, PackRequest
from stackctl.operations.site.load import load_site


@dataclass(frozen=True, slots=True)
class PackResult:
    """What was packed.

    Attributes:
        folder: path of the bundle; None where none is written or found.
        manifest: manifest of the bundle; after a dry run the parts' digests are all zero.
        unchanged: whether this content was there already: in the folder or, without a folder, in the base.
        is_signed: whether the bundle is signed; None where nobody looked, because nothing was to be written.
        newest: highest version of this stack that is beside it, or that this key's holder packed.
        is_ambiguous: whether another bundle of this version was packed: a site cannot tell which is the later one.
    """

    folder: Path | None
    manifest: Manifest
    unchanged: bool
    is_signed: bool | None = None
    newest: int = 0
    is_ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The bundles that the new one follows.

    Attributes:
        beside: whole bundles, of any stack, in the folder that is packed into.
        last: last bundle of this stack that this key's holder packed; version 0 for none.
    """

    name: str
    beside: Sequence[tuple[Path, Manifest]]
    last: PackedVersion

    @property
    def newest(self) -> int:
        """The highest version of this stack that is known."""
        return max(find_newest_version(self.name, [manifest for _, manifest in self.beside]), self.last.version)

    def find_same(self, draft: Draft, version: int | None) -> tuple[Path, Manifest] | None:
        """A bundle in the folder with this content and, where one was asked for, this version."""
        for folder, manifest in self.beside:
            if is_same_content(draft, manifest) and version in (None, manifest.version):
                return folder, manifest
        return None

    def choose_version(self, content: str, base: Manifest | None) -> int:
        """The next version; that of the last bundle for the same content, which was packed elsewhere."""
        if self.last.version and (self.last.version, self.last.content) == (self.newest, content):
            return self.last.version
        return max(self.newest, base.version if base else 0) + 1

    def has_other(self, version: int, content: str) -> bool:
        """Whether a bundle of this stack and version, but with another content, was packed before."""
        versions = {manifest.version for _, manifest in self.beside if manifest.name == self.name}
        return version in versions or (version == self.last.version and content != self.last.content)


def run_pack(world: PackEffects, request: PackRequest, *, dry_run: bool = False) -> PackResult:
    """Pack the stack of this site.

    Raises:
        ConfigError: the site's files are not usable.
        BundleError: a content cannot be packed or found, the disk is too small, or a source changed meanwhile.
    """
    contents = _gather(world, request)
    draft = build_draft(contents, 1, request.base, request.part_size)
    content = draft.body.id
    earlier = _load_earlier(world, request.out, draft.body.name)
    if same := earlier.find_same(draft, request.version):
        is_signed = None if dry_run else _finish(world, *same, content)
        return PackResult(*same, unchanged=True, is_signed=is_signed, newest=earlier.newest)
    version = request.version or earlier.choose_version(content, request.base)
    draft = build_draft(contents, version, request.base, request.part_size)
    check_base(draft, request.base)
    if request.base and not request.version and is_contained(draft, request.base):
        return PackResult(None, request.base, unchanged=True, newest=earlier.newest)
    check_readable(draft)
    check_space(world, request.out, draft)
    if dry_run:
        return PackResult(None, draft.body, unchanged=False)
    folder, manifest = _write(world, request.out, contents, draft)
    is_signed = _finish(world, folder, manifest, content)
    newest = max(earlier.newest, version)
    return PackResult(folder, manifest, False, is_signed, newest, earlier.has_other(version, content))


def _gather(world: PackEffects, request: PackRequest) -> Contents:
    # What travels must not depend on the memory here: the prompt cache that fits is the site's to find when it renders.
    # Nor on the providers that this site's .env names.
    loaded = load_site(world.effects, memory_bytes=0, travelling=True)
    with ThreadPoolExecutor(1) as pool:
        # Another program builds it, while this one reads and looks up.
        own_wheel = pool.submit(world.build_own_wheel)
        return gather_contents(world, request, loaded, own_wheel.result)


def _load_earlier(world: PackEffects, folder: Path, name: str) -> _Earlier:
    return _Earlier(name, list(world.list_bundles(folder)), world.load_versions().get(name, PackedVersion(0, "")))


def _finish(world: PackEffects, folder: Path, manifest: Manifest, content: str) -> bool:
    """Sign a bundle that is whole, and remember its version; whether it is signed."""
    is_signed = world.sign_bundle(folder, manifest)
    world.save_version(manifest.name, PackedVersion(manifest.version, content))
    return is_signed


def _write(world: PackEffects, out: Path, contents: Contents, draft: Draft) -> tuple[Path, Manifest]:
    carried = {file.path for file in draft.body.bootstrap}
    bootstrap = [
        (file.path, file.executable, file.size, source) for file, source in contents.bootstrap if file.path in carried
    ]
    transfer = Transfer("packing", draft.body.size_bytes, world.effects.terminal.report, world.effects.clock.monotonic)
    return world.write_bundle(out, draft, bootstrap, transfer)
