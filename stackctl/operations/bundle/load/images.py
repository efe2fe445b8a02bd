"""Give Docker a bundle's images as one stream that no file holds, then check that they are the ones it names.

In: the Docker engine, a manifest and where its blobs are. Out: an ``ImagesToLoad`` value, findings. Does I/O through
its effects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.manifest import Image, Manifest
from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.core.bundle.format.members import describe_owners
from stackctl.core.bundle.load.plan import InstalledRange, blob_path, list_image_blobs, plan_blob
from stackctl.core.images.load_tar import NamedImage, build_load_tar
from stackctl.core.images.oci import ImageBlob, ImageFacts
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.load.acceptance import AcceptedBundle
from stackctl.operations.bundle.load.recover_layers import Recovery, find_recoveries, recover_layers, replace_layers
from stackctl.operations.bundle.load.staging import check_digest

if TYPE_CHECKING:
    from stackctl.core.bundle.format.manifest import Descriptor
    from stackctl.core.text.progress import Transfer
    from stackctl.operations.bundle.load.effects import ImageEngine, LoadEffects, Staging
    from stackctl.operations.effects import Report


@dataclass(frozen=True, slots=True)
class ImagesToLoad:
    """What of a bundle's images the Docker engine lacks.

    Attributes:
        nameless: images that the engine has, but not under their alias.
        images: images that the engine does not have.
        present: digests of layers that the engine has already.
        blobs: size in bytes of each blob that the parts have to give, by SHA-256.
        recoveries: layers that have to be taken out of the engine again.
        lost: SHA-256 of blobs that neither the parts nor the engine have.
    """

    nameless: tuple[Image, ...]
    images: tuple[Image, ...]
    present: frozenset[str]
    blobs: dict[str, int]
    recoveries: tuple[Recovery, ...] = ()
    lost: tuple[str, ...] = ()


NO_IMAGES = ImagesToLoad((), (), frozenset(), {})


def find_images_to_load(engine: ImageEngine, manifest: Manifest, base: Manifest | None = None) -> ImagesToLoad:
    """Compare a bundle's images with what the Docker engine has; changes nothing.

    Args:
        base: manifest of the installed release that a delta builds on; None where there is none.
    """
    unnamed = [image for image in manifest.images if engine.check(build_facts(manifest, image), image.alias)]
    nameless = [image for image in unnamed if engine.has(build_facts(manifest, image))]
    lacking = [image for image in unnamed if image not in nameless]
    present = engine.find_present([build_facts(manifest, image) for image in lacking]) if lacking else frozenset()
    needed = _list_needed(lacking, present)
    carried = find_members(manifest)
    blobs = {sha256: size for sha256, size in needed.items() if sha256 in carried}
    left_out = needed.keys() - blobs.keys()
    recoveries = find_recoveries(engine, _keep_intact(engine, base), left_out) if base and left_out else ()
    lost = left_out - {_read_sha256(item.layer) for item in recoveries}
    return ImagesToLoad(tuple(nameless), tuple(lacking), present, blobs, recoveries, tuple(sorted(lost)))


def _list_needed(images: Collection[Image], present: Collection[str]) -> dict[str, int]:
    """Size of every blob of these images that the Docker engine does not have, by SHA-256."""
    there = {_read_sha256(digest) for digest in present}
    return {sha256: size for sha256, size in list_image_blobs(images).items() if sha256 not in there}


def _keep_intact(engine: ImageEngine, manifest: Manifest) -> Manifest:
    """A manifest with only the images that the Docker engine still has."""
    images = [image for image in manifest.images if not engine.check(build_facts(manifest, image), image.alias)]
    return manifest.model_copy(update={"images": tuple(images)})


def check_available(manifest: Manifest, images: ImagesToLoad) -> list[Finding]:
    """Find blobs that a delta left out although the Docker engine does not have them."""
    owners = describe_owners(manifest, images.lost)
    hint = "load the base again, or pack the full bundle"
    return [
        Finding("; ".join(owners.get(sha256, (sha256,))), "is left to the base, and the engine does not have it", hint)
        for sha256 in images.lost
    ]


@dataclass(frozen=True, slots=True)
class BlobSource:
    """Where the images' blobs are read from: staging, where an earlier run put them, or their parts."""

    load: LoadEffects
    staging: Staging
    accepted: AcceptedBundle

    def read(self, sha256: str, size: int) -> Iterator[bytes]:
        """Bytes of a blob, checked."""
        if self.staging.is_done(plan_blob(sha256, size)):
            item = InstalledRange(blob_path(sha256), 0, size, sha256)
            return check_digest(self.staging.read(item.path, 0, size), item)
        member = find_members(self.accepted.manifest)[sha256]
        path = self.accepted.find_part(member)
        assert path is not None, "every part that is needed was found to be reachable"
        return self.load.read_blob(path, member)


def send_images(
    engine: ImageEngine, source: BlobSource, images: ImagesToLoad, progress: Transfer, report: Report
) -> None:
    """Send the images that the Docker engine lacks, name those that it has, and check that all are the right ones.

    Raises:
        BundleError: a blob is bad, or the Docker engine has something else than what was sent.
        RuntimeFailure: the Docker engine broke off.
    """
    manifest = source.accepted.manifest
    lacking = [(build_facts(manifest, image), image.alias) for image in images.images]
    recovered = recover_layers(engine, source.staging, images.recoveries)
    sizes = images.blobs | {_read_sha256(blob.digest): blob.size for blob in recovered.values()}

    def open_blob(digest: str) -> Iterator[bytes]:
        sha256 = _read_sha256(digest)
        for piece in source.read(sha256, sizes[sha256]):
            progress.add(len(piece))
            yield piece

    if lacking:
        sent = [(replace_layers(facts, recovered), alias) for facts, alias in lacking]
        engine.load(build_load_tar(sent, open_blob, {}, images.present), report)
    named = name_images(engine, manifest, images)
    _check_arrived(engine, [*lacking, *named])


def _check_arrived(engine: ImageEngine, images: Collection[NamedImage]) -> None:
    findings = [finding for facts, alias in images for finding in engine.check(facts, alias)]
    if findings:
        raise BundleError("The engine does not have the images that were sent to it.", findings[0].hint, findings)


def name_images(engine: ImageEngine, manifest: Manifest, images: ImagesToLoad) -> list[NamedImage]:
    """Give images that the Docker engine has their names; the images that lacked one."""
    named = [(build_facts(manifest, image), image.alias) for image in images.nameless]
    for facts, alias in named:
        engine.name(facts, alias)
    return named


def check_blobs(
    load: LoadEffects, accepted: AcceptedBundle, blobs: Collection[str], count: Callable[[int], None]
) -> list[Finding]:
    """Read blobs as far as their parts are here, so that one run names all that are bad.

    Args:
        blobs: SHA-256 of each blob to read.
        count: called with the number of bytes read.
    """
    members = find_members(accepted.manifest)
    owners = describe_owners(accepted.manifest, blobs)
    findings = []
    for sha256 in blobs:
        path = accepted.find_part(members[sha256]) if sha256 in members else None
        try:
            for piece in load.read_blob(path, members[sha256]) if path else ():
                count(len(piece))
        except BundleError as error:
            findings.append(Finding("; ".join(owners.get(sha256, (sha256,))), error.message, error.hint))
    return findings


def build_facts(manifest: Manifest, image: Image) -> ImageFacts:
    """An image of the manifest in the terms of the Docker engine's adapter."""
    return ImageFacts(
        reference=image.reference,
        index=_build_blob(image.index) if image.index else None,
        manifest=_build_blob(image.manifest),
        config=_build_blob(image.config),
        layers=tuple(_build_blob(layer) for layer in image.layers),
        diff_ids=image.diff_ids,
        os=manifest.platform.os,
        architecture=manifest.platform.architecture,
        variant="",
        source=image.source,
    )


def _read_sha256(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _build_blob(blob: Descriptor) -> ImageBlob:
    return ImageBlob(blob.digest, blob.size, blob.media_type)
