"""What loading a bundle writes: every file with its size, and where in them each content goes. Pure.

In: the manifest, and which of its models the store has already. Out: a ``LoadPlan`` of paths in the staging folder.
A content that stands at several places is read once and written to all of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.bundle.format.installed_paths import FILES, is_program, model_folder
from stackctl.core.bundle.format.manifest import Image, Manifest, Member, Model, ModelFile
from stackctl.core.bundle.format.manifest_reader import list_content

MODELS = "models"
RELEASE = "release"
BLOBS = "blobs"


@dataclass(frozen=True, slots=True)
class Output:
    """A file to make: its path in the staging folder, its size in bytes, and whether it is a program."""

    path: str
    size: int
    is_program: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content goes: a file in the staging folder, and an offset in bytes."""

    path: str
    offset: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A content and every place that it goes to."""

    sha256: str
    size: int
    places: tuple[Place, ...]

    @property
    def written_bytes(self) -> int:
        """Bytes that writing the content to all its places takes."""
        return self.size * len(self.places)

    @property
    def key(self) -> str:
        """Text that names this content at these places; when either changes, a journal's line on it no longer holds."""
        places = "".join(f"{place.path}\0{place.offset}\0" for place in self.places)
        return f"{self.sha256}-{zlib.crc32(places.encode()):08x}"


@dataclass(frozen=True, slots=True)
class PartCopy:
    """A member of a part that is to be written to staging.

    Attributes:
        path: path of the part's file.
    """

    path: Path
    member: Member
    content: Wanted


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """All that loading a bundle is to write.

    Attributes:
        carried: what the bundle's parts have, in the parts' order.
        inherited: what a delta takes from its base, sorted by digest.
    """

    outputs: tuple[Output, ...]
    carried: tuple[tuple[Member, Wanted], ...]
    inherited: tuple[Wanted, ...]

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Every content of the plan, carried and inherited."""
        return (*(wanted for _, wanted in self.carried), *self.inherited)


@dataclass(frozen=True, slots=True)
class InstalledRange:
    """A range of an installed file: its path under ``offline/``, offset and length in bytes."""

    path: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is installed already, so that nothing of it is written.

    Attributes:
        models: digests of models that the store has.
        files: paths of the release's own files that this or another installed release has.
    """

    models: Collection[str] = ()
    files: Collection[str] = ()


NOTHING_KEPT = Kept()


@dataclass(frozen=True, slots=True)
class _PlannedFile:
    """A file to make, and its contents: their digests with their offsets in bytes."""

    output: Output
    contents: tuple[tuple[str, int], ...]


def plan_load(manifest: Manifest, kept: Kept = NOTHING_KEPT, staged_blobs: Collection[str] = ()) -> LoadPlan:
    """Say what loading a bundle is to write.

    Args:
        staged_blobs: digests of image blobs that are kept in staging, because their parts come one after another.
    """
    sizes = {item.sha256: item.size for item in list_content(manifest)}
    files = [
        *_plan_models(manifest, kept.models, sizes),
        *_plan_release_files(manifest, kept.files),
        *_plan_staged_blobs(staged_blobs, sizes),
    ]
    wanted = _gather_wanted(files, sizes)
    return LoadPlan(
        outputs=tuple(file.output for file in files),
        carried=tuple((member, wanted[member.sha256]) for member in manifest.blobs if member.sha256 in wanted),
        inherited=tuple(wanted[item.sha256] for item in manifest.inherited if item.sha256 in wanted),
    )


def _plan_models(manifest: Manifest, kept: Collection[str], sizes: Mapping[str, int]) -> Iterator[_PlannedFile]:
    lacking = [model for model in manifest.models if model.digest not in kept]
    for model in lacking:
        for file in model.files:
            yield _PlannedFile(Output(model_path(model, file), file.size), tuple(list_offsets(file, sizes)))


def _plan_release_files(manifest: Manifest, kept: Collection[str]) -> Iterator[_PlannedFile]:
    for file in manifest.files:
        if file.path not in kept:
            output = Output(f"{RELEASE}/{FILES}/{file.path}", file.size, is_program(file.path))
            yield _PlannedFile(output, ((file.sha256, 0),))


def _plan_staged_blobs(digests: Collection[str], sizes: Mapping[str, int]) -> Iterator[_PlannedFile]:
    for sha256 in sorted(digests):
        yield _PlannedFile(Output(blob_path(sha256), sizes[sha256]), ((sha256, 0),))


def _gather_wanted(files: Iterable[_PlannedFile], sizes: Mapping[str, int]) -> dict[str, Wanted]:
    """Every content, by its digest, with all the places that it goes to."""
    places: dict[str, list[Place]] = {}
    for file in files:
        for sha256, offset in file.contents:
            places.setdefault(sha256, []).append(Place(file.output.path, offset))
    return {sha256: Wanted(sha256, sizes[sha256], tuple(found)) for sha256, found in places.items()}


def plan_blob(sha256: str, size: int) -> Wanted:
    """A blob of an image, as it is kept in staging."""
    return Wanted(sha256, size, (Place(blob_path(sha256), 0),))


def model_path(model: Model, file: ModelFile) -> str:
    """Path in staging of a model's file."""
    return f"{MODELS}/{model.digest[:16]}/{file.path}"


def blob_path(sha256: str) -> str:
    """Path in staging of an image's blob."""
    return f"{BLOBS}/{sha256}"


def list_offsets(file: ModelFile, sizes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Each chunk of a model's file with its offset in bytes."""
    offset = 0
    for sha256 in file.chunks:
        yield sha256, offset
        offset += sizes[sha256]


def list_model_ranges(manifest: Manifest, model: Model) -> Iterator[InstalledRange]:
    """The range of each chunk of an installed model, in the files' order."""
    sizes = {item.sha256: item.size for item in list_content(manifest)}
    for file in model.files:
        for sha256, offset in list_offsets(file, sizes):
            yield InstalledRange(str(model_folder(model.digest) / file.path), offset, sizes[sha256], sha256)


def list_file_ranges(manifest: Manifest, release_folder: str) -> Iterator[InstalledRange]:
    """The range of each file of an installed release."""
    for file in manifest.files:
        yield InstalledRange(f"{release_folder}/{FILES}/{file.path}", 0, file.size, file.sha256)


def find_installed(manifest: Manifest, release_folder: str) -> dict[str, InstalledRange]:
    """One place of each content that an installed release has on the disk, by digest; images' blobs have none.

    Args:
        release_folder: path of the release's folder under ``offline/``.
    """
    found = {item.sha256: item for model in manifest.models for item in list_model_ranges(manifest, model)}
    for item in list_file_ranges(manifest, release_folder):
        found.setdefault(item.sha256, item)
    return found


def list_image_blobs(images: Collection[Image]) -> dict[str, int]:
    """Size of each blob that the Docker engine is given for these images, by digest, without a registry's index."""
    blobs = (blob for image in images for blob in (image.manifest, image.config, *image.layers))
    return {blob.digest.removeprefix("sha256:"): blob.size for blob in blobs}
