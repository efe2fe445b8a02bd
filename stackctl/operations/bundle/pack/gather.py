"""Gather what a bundle will hold: images, models, files and wheels, each with its digest and its source.

In: a loaded site. Out: ``Gathered`` content of each kind, joined to ``Contents``. Reads through ``Sources``. Everything
that cannot be packed is found here and reported together, before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stackctl import __version__
from stackctl.core.bundle.format.chunks import FileDigest
from stackctl.core.bundle.format.manifest import (
    BootstrapFile,
    Descriptor,
    Image,
    Model,
    ModelFile,
    PackedEngine,
    PackedFile,
    Platform,
    Requirements,
    build_alias,
    hash_model,
)
from stackctl.core.bundle.format.manifest_fields import is_file_name
from stackctl.core.bundle.pack.plan import (
    Blob,
    Contents,
    EngineBlob,
    FileRange,
    InMemory,
    RegistryBlob,
    Source,
    hash_bytes,
)
from stackctl.core.engine.vllm import VLLM_USE
from stackctl.core.images.oci import ImageBlob, ImageContent
from stackctl.core.models.catalog import Catalog
from stackctl.core.models.served import ServedModel
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.image_choice import APP_USE, Images
from stackctl.core.text.printable import escape_text
from stackctl.errors import BundleError, Finding
from stackctl.operations.effects import Effects
from stackctl.operations.models.folder import load_checksum

MIN_DOCKER = "20.10"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model came from; empty where nobody stated it."""

    source: str = ""
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """The functions that tell what content is and where it comes from.

    Attributes:
        hash_model: gives the digest of a model's file, weights cut at their tensors; calls back with the bytes as they
            are read.
        hash_file: gives the digest of a file in one piece.
        resolve_image: gives an image's documents: from the Docker engine when it is local, else from its registry.
        describe_model: tells where a file with this path and digest came from.
    """

    hash_model: Callable[[Path, Callable[[int], None]], FileDigest]
    hash_file: Callable[[Path, Callable[[int], None]], FileDigest]
    resolve_image: Callable[[str, bool], ImageContent]
    describe_model: Callable[[Path, str], Provenance]


@dataclass(frozen=True, slots=True)
class Gathered:
    """One kind of content: what the manifest says of it, and its blobs."""

    images: tuple[Image, ...] = ()
    models: tuple[Model, ...] = ()
    files: tuple[PackedFile, ...] = ()
    bootstrap: tuple[tuple[BootstrapFile, Source], ...] = ()
    blobs: tuple[Blob, ...] = ()


def find_provenance(effects: Effects, catalog: Catalog, path: Path, sha256: str) -> Provenance:
    """Tell where a file came from: by the catalog, else by the record of its pull or add; else empty."""
    for model, file in catalog.find_files(path.name):
        if file.known_sha256 == sha256:
            return Provenance(model.repo or model.source or "", model.revision or "", model.licence)
    recorded = load_checksum(effects.files, path)
    return Provenance(recorded.source) if recorded and recorded.sha256 == sha256 else Provenance()


def gather_images(loaded: LoadedSite, gpus: tuple[str, ...], sources: Sources) -> Gathered:
    """Gather the images of the rendered project.

    Args:
        gpus: accelerators to pack engines for; "none" is the CPU.

    Raises:
        BundleError: images that no registry and no Docker engine gives; names all of them.
    """
    images: list[Image] = []
    blobs: list[Blob] = []
    findings: list[Finding] = []
    for reference, (uses, is_local) in sorted(_list_references(loaded.images, gpus).items()):
        try:
            content = sources.resolve_image(reference, is_local)
        except BundleError as error:
            findings.append(Finding(reference, error.message, error.hint))
            continue
        images.append(_describe_image(loaded.settings.stack_name, reference, uses, content))
        blobs += _list_image_blobs(reference, content)
    if findings:
        raise BundleError("Images cannot be packed.", findings[0].hint, findings)
    return Gathered(images=tuple(images), blobs=tuple(blobs))


def _list_references(images: Images, gpus: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], bool]]:
    """What each image is used for, and whether no registry has it, by the image's reference."""
    found: dict[str, tuple[tuple[str, ...], bool]] = {images.gateway: (("api-gateway",), images.gateway_is_local)}
    if images.vllm:
        found[images.vllm] = ((VLLM_USE,), images.is_released)
    for service, image in images.apps.items():
        uses, _ = found.get(image, ((), False))
        found[image] = ((*uses, f"{APP_USE}{service}"), images.is_released or service in images.built_apps)
    for gpu in gpus if images.needs_inference else ():
        reference = images.inference[gpu]
        uses, _ = found.get(reference, ((), False))
        found[reference] = ((*uses, f"inference.{gpu}"), images.inference_is_local)
    return found


def _describe_image(name: str, reference: str, uses: tuple[str, ...], content: ImageContent) -> Image:
    facts = content.facts
    return Image(
        uses=tuple(sorted(uses)),
        reference=reference,
        alias=build_alias(name, uses[0].replace(".", "-"), facts.manifest.digest),
        index=_describe_blob(facts.index) if facts.index else None,
        manifest=_describe_blob(facts.manifest),
        config=_describe_blob(facts.config),
        layers=tuple(_describe_blob(layer) for layer in facts.layers),
        diff_ids=facts.diff_ids,
        source=facts.source,
    )


def _describe_blob(blob: ImageBlob) -> Descriptor:
    return Descriptor(digest=blob.digest, size=blob.size, media_type=blob.media_type)


def _list_image_blobs(reference: str, content: ImageContent) -> Iterator[Blob]:
    for blob in content.facts.blobs:
        source: Source
        if blob.digest in content.documents:
            source = InMemory(content.documents[blob.digest])
        elif content.facts.source == "engine":
            source = EngineBlob(reference, blob.digest)
        else:
            source = RegistryBlob(reference, blob.digest)
        yield Blob(blob.digest.removeprefix("sha256:"), blob.size, f"{reference} {blob.digest[:19]}", source)


def gather_models(models: Iterable[ServedModel], sources: Sources, count: Callable[[int], None]) -> Gathered:
    """Gather every shard of every model; what is served under several names, or lies in several places, is packed once.

    Raises:
        BundleError: files have names that other systems do not take; names all of them.
    """
    listed = sorted(models, key=lambda model: model.served_name)
    _check_names(listed)
    hashed: dict[tuple[str, ...], tuple[FileDigest, ...]] = {}
    found: dict[str, Model] = {}
    blobs: list[Blob] = []
    for model in listed:
        if model.shards not in hashed:
            hashed[model.shards] = tuple(sources.hash_model(Path(path), count) for path in model.shards)
        described = _describe_model(model, hashed[model.shards], sources)
        known = found.get(described.digest)
        names = (*known.served_names, model.served_name) if known else described.served_names
        found[described.digest] = (known or described).model_copy(update={"served_names": names})
        blobs += [] if known else _list_model_blobs(hashed[model.shards])
    return Gathered(models=tuple(found.values()), blobs=tuple(blobs))


def _check_names(models: Iterable[ServedModel]) -> None:
    findings = [
        Finding(model.setting, f"the file's name {escape_text(Path(path).name)!r} cannot travel", "rename the file")
        for model in models
        for path in model.shards
        if not is_file_name(Path(path).name)
    ]
    if findings:
        raise BundleError(
            "Names of models may begin with no '.', hold no '\\' or control characters, and have 200 characters.",
            findings[0].hint,
            findings,
        )


def _list_model_blobs(digests: Iterable[FileDigest]) -> Iterator[Blob]:
    for digest in digests:
        name = Path(digest.path).name
        for offset, size, sha256 in digest.chunks:
            yield Blob(sha256, size, f"{name} at {offset}", FileRange(digest.path, offset, digest.stamp))


def _describe_model(model: ServedModel, digests: tuple[FileDigest, ...], sources: Sources) -> Model:
    files = tuple(
        ModelFile(
            path=Path(digest.path).name,
            size=digest.size,
            sha256=digest.sha256,
            chunks=tuple(sha256 for _, _, sha256 in digest.chunks),
        )
        for digest in digests
    )
    header = model.header
    provenance = sources.describe_model(Path(digests[0].path), digests[0].sha256)
    return Model(
        served_names=(model.served_name,),
        digest=hash_model(files),
        files=files,
        architecture=escape_text(header.architecture),
        quantisation=escape_text(header.quantisation),
        parameters=header.parameter_count,
        context_length=header.context_length,
        source=escape_text(provenance.source),
        revision=escape_text(provenance.revision),
        licence=escape_text(provenance.licence),
    )


def pack_texts(texts: Mapping[str, str]) -> Gathered:
    """Small files as content, from their texts."""
    datas = {path: text.encode() for path, text in texts.items()}
    files = tuple(PackedFile(path=path, size=len(data), sha256=hash_bytes(data)) for path, data in datas.items())
    blobs = tuple(Blob(hash_bytes(data), len(data), path, InMemory(data)) for path, data in datas.items())
    return Gathered(files=files, blobs=blobs)


def pack_paths(folder: str, paths: Iterable[Path], sources: Sources, count: Callable[[int], None]) -> Gathered:
    """Files of this machine as content, under ``folder`` in the release."""
    digests = [sources.hash_file(path, count) for path in paths]
    files = [
        PackedFile(path=f"{folder}/{Path(item.path).name}", size=item.size, sha256=item.sha256) for item in digests
    ]
    blobs = [
        Blob(item.sha256, item.size, Path(item.path).name, FileRange(item.path, 0, item.stamp)) for item in digests
    ]
    return Gathered(files=tuple(files), blobs=tuple(blobs))


def join_contents(
    loaded: LoadedSite,
    platform: Platform,
    runtimes: tuple[Literal["compose", "process"], ...],
    engine: PackedEngine | None,
    *found: Gathered,
) -> Contents:
    """Everything that was gathered, in the order in which it is written: the small first, then images, then models."""
    images = tuple(image for item in found for image in item.images)
    models = tuple(model for item in found for model in item.models)
    files = tuple(file for item in found for file in item.files)
    layers = {layer.digest: layer.size for image in images for layer in image.layers}
    written = [file.size for model in models for file in model.files] + [file.size for file in files]
    return Contents(
        name=loaded.settings.stack_name,
        platform=platform,
        requires=Requirements(
            stackctl=__version__,
            docker=MIN_DOCKER if images else "",
            disk_bytes=sum(written),
            engine_bytes=sum(layers.values()),
        ),
        runtimes=runtimes,
        images=images,
        models=models,
        files=files,
        bootstrap=tuple(file for item in found for file in item.bootstrap),
        blobs=tuple(blob for item in found for blob in item.blobs),
        engine=engine,
    )
