"""Real bundle folders for tests, made of the core's values alone, so that readers are tested without the packer."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from stackctl.core.bundle.format.chunks import list_chunks
from stackctl.core.bundle.format.layout import END, Entry, blob_path, build_header, pad, part_name, plan_parts
from stackctl.core.bundle.format.manifest import (
    BOOTSTRAP_FOLDER,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    SUMS_NAME,
    Base,
    BootstrapFile,
    Content,
    Image,
    LayoutMember,
    Manifest,
    Member,
    Model,
    ModelFile,
    PackedFile,
    Part,
    Platform,
    Requirements,
    encode_manifest,
    hash_model,
    render_sums,
    seal_manifest,
)
from stackctl.core.bundle.format.signature import SEED_BYTES, SecretKey, sign
from tests.bundle_images import Blobs, hash_bytes, pack_image, render_index
from tests.bundle_images import ImageBytes as ImageBytes

SECRET = SecretKey(b"testkey1", bytes(range(SEED_BYTES)))
OTHER_SECRET = SecretKey(b"testkey2", bytes(range(1, SEED_BYTES + 1)))
PART_BYTES = 64 * 1024
CHUNK_BYTES = 16 * 1024
_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def build_bundle(
    folder: Path, *, secret: SecretKey | None = SECRET, bootstrap: Mapping[str, bytes] | None = None, **content: Any
) -> Manifest:
    """Write ``folder/<name>-<id12>/`` and return its manifest; the bundle lies at ``folder / manifest.folder``.

    Args:
        secret: signs; without one there is no signature file.
        bootstrap: beside the parts, by path; those that end in ``.sh`` are executable.
        content: as ``assemble_bundle`` takes it.
    """
    manifest, parts = assemble_bundle(bootstrap=bootstrap, **content)
    write_bundle(folder / manifest.folder, manifest, parts, bootstrap or {}, secret)
    return manifest


def assemble_bundle(
    *,
    files: Mapping[str, bytes] | None = None,
    models: Mapping[str, bytes | Mapping[str, bytes]] | None = None,
    images: Sequence[ImageBytes] = (),
    part_size: int = PART_BYTES,
    chunk_bytes: int = CHUNK_BYTES,
    base: Manifest | None = None,
    version: int = 1,
    bootstrap: Mapping[str, bytes] | None = None,
    name: str = "test-stack",
    runtimes: tuple[str, ...] = ("compose", "process"),
    **changes: Any,
) -> tuple[Manifest, tuple[bytes, ...]]:
    """A manifest and its parts' bytes.

    Args:
        files: of the release, by path.
        models: by served name; one file's bytes, or each file's by name.
        chunk_bytes: models are cut at every multiple of it, as a GGUF file would be at its tensors.
        base: what this delta builds on; content of it is left out.
        changes: further fields of the manifest, such as ``platform``.
    """
    blobs = Blobs()
    packed = tuple(_pack_file(blobs, path, data) for path, data in sorted((files or {}).items()))
    packed_images = sorted((pack_image(blobs, name, image) for image in images), key=lambda image: image.alias)
    packed_models = tuple(_pack_model(blobs, *item, chunk_bytes) for item in sorted((models or {}).items()))
    inherited = _list_inherited(base, blobs)
    members = _list_members(blobs, packed_images, {item.sha256 for item in inherited})
    parts, offsets = lay_out(members, part_size)
    places = [(path, _describe_place(members[path], *place)) for path, place in offsets.items()]
    fields: dict[str, Any] = {
        "name": name,
        "version": version,
        "platform": Platform(os="linux", architecture="amd64", python=("3.11",)),
        "requires": _sum_up(packed, packed_models, packed_images),
        "runtimes": runtimes,
        "base": Base(id=base.id, version=base.version) if base else None,
        "parts": _describe_parts(parts),
        "layout": tuple(LayoutMember.model_validate({"path": path, **place}) for path, place in places[:2]),
        "blobs": tuple(Member.model_validate(place) for _, place in places[2:]),
        "inherited": inherited,
        "images": tuple(packed_images),
        "models": packed_models,
        "files": packed,
        "bootstrap": _describe_bootstrap(bootstrap or {}),
    }
    return seal_manifest(**fields | changes), parts


def _list_members(blobs: Blobs, images: Sequence[Image], known: Collection[str]) -> dict[str, bytes]:
    """What the parts hold, by path, in the order in which it lies there."""
    carried = {blob_path(sha256): data for sha256, data in blobs.data.items() if sha256 not in known}
    return {"oci-layout": _OCI_LAYOUT, "index.json": render_index(images), **carried}


def _list_inherited(base: Manifest | None, blobs: Blobs) -> tuple[Content, ...]:
    known = {item.sha256: item.size for item in (*base.blobs, *base.inherited)} if base else {}
    return tuple(Content(sha256=key, size=known[key]) for key in sorted(known.keys() & blobs.data.keys()))


def write_bundle(
    target: Path,
    manifest: Manifest,
    parts: Sequence[bytes],
    bootstrap: Mapping[str, bytes],
    secret: SecretKey | None,
) -> None:
    """Write every file of a bundle; a test that plants something wrong calls it with other parts."""
    target.mkdir(parents=True)
    for number, data in enumerate(parts, 1):
        (target / part_name(number)).write_bytes(data)
    for path, data in bootstrap.items():
        place = target / BOOTSTRAP_FOLDER / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o755 if path.endswith(".sh") else 0o644)
    (target / SUMS_NAME).write_text(render_sums(manifest), encoding="ascii")
    write_manifest(target, encode_manifest(manifest), secret)


def write_manifest(target: Path, data: bytes, secret: SecretKey | None = SECRET) -> None:
    """Write ``bundle.json`` as it is given, and its signature where there is a key."""
    (target / MANIFEST_NAME).write_bytes(data)
    if secret is not None:
        (target / SIGNATURE_NAME).write_text(sign(secret, data, f"bundle {hash_bytes(data)[:12]}"), encoding="ascii")


def lay_out(members: Mapping[str, bytes], part_size: int) -> tuple[tuple[bytes, ...], dict[str, tuple[int, int]]]:
    """The bytes of every part, and each member's part and offset."""
    placements, sizes = plan_parts((Entry(path, len(data)) for path, data in members.items()), part_size)
    parts = [bytearray() for _ in sizes]
    for placement in placements:
        path, part = placement.entry.path, parts[placement.part - 1]
        part += build_header(path, len(members[path]))
        part += members[path] + bytes(pad(len(members[path])))
    places = {placement.entry.path: (placement.part, placement.offset) for placement in placements}
    return tuple(bytes(part) + END for part in parts), places


def make_bytes(seed: str, size: int) -> bytes:
    """Bytes that do not compress and are the same on every run."""
    return hashlib.shake_128(seed.encode()).digest(size)


def _pack_file(blobs: Blobs, path: str, data: bytes) -> PackedFile:
    return PackedFile(path=path, size=len(data), sha256=blobs.add(data))


def _pack_model(blobs: Blobs, name: str, content: bytes | Mapping[str, bytes], chunk_bytes: int) -> Model:
    named = content if isinstance(content, Mapping) else {f"{name}.gguf": content}
    files = tuple(
        ModelFile(
            path=path,
            size=len(data),
            sha256=hash_bytes(data),
            chunks=tuple(
                blobs.add(data[offset : offset + length])
                for offset, length in list_chunks(len(data), range(0, len(data), chunk_bytes))
            ),
        )
        for path, data in sorted(named.items())
    )
    return describe_model(name, files)


def describe_model(name: str, files: tuple[ModelFile, ...]) -> Model:
    """A small chat model, as the manifest has it, that is served under this name."""
    return Model(
        served_names=(name,),
        digest=hash_model(files),
        files=files,
        architecture="llama",
        quantisation="F16",
        parameters=1000,
        context_length=512,
        source="",
        revision="",
        licence="",
    )


def _describe_place(data: bytes, part: int, offset: int) -> dict[str, Any]:
    return {"sha256": hash_bytes(data), "size": len(data), "part": part, "offset": offset}


def _describe_parts(parts: Sequence[bytes]) -> tuple[Part, ...]:
    return tuple(
        Part(name=part_name(number), size=len(data), sha256=hash_bytes(data)) for number, data in enumerate(parts, 1)
    )


def _describe_bootstrap(files: Mapping[str, bytes]) -> tuple[BootstrapFile, ...]:
    return tuple(
        BootstrapFile(path=path, size=len(data), sha256=hash_bytes(data), executable=path.endswith(".sh"))
        for path, data in sorted(files.items())
    )


def _sum_up(files: Sequence[PackedFile], models: Sequence[Model], images: Sequence[Image]) -> Requirements:
    disk = sum(file.size for file in files) + sum(file.size for model in models for file in model.files)
    engine = sum(layer.size for image in images for layer in image.layers)
    return Requirements(stackctl="0.1.0", docker="24.0", disk_bytes=disk, engine_bytes=engine)
