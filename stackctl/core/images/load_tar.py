"""The one tar that both of Docker's image stores load, made while it is sent: nothing is written to a disk.

In: images with the names they get, and something that opens a blob. Out: the tar's bytes. Pure: what is read is what
the caller passes in.

The store with its own layers reads manifest.json, the containerd one index.json; both find blobs at the same paths.

Source: OCI image-spec 1.1, image layout; moby, image/tarexport/load.go; containerd, core/images/archive/importer.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from stackctl.core.bundle.format.layout import END, blob_path, build_header, pad
from stackctl.core.images.oci import OCI_INDEX, ImageBlob, ImageFacts, render_descriptor
from stackctl.core.images.reference import parse_reference
from stackctl.errors import BundleError

CHUNK_BYTES: Final = 1 << 20

NamedImage = tuple[ImageFacts, str]


def build_load_tar(
    images: Sequence[NamedImage],
    open_blob: Callable[[str], Iterable[bytes]],
    documents: Mapping[str, bytes],
    skip: frozenset[str] = frozenset(),
) -> Iterator[bytes]:
    """The tar's bytes, in chunks of about 1 MiB.

    Args:
        images: each image with the name that it is loaded under.
        open_blob: gives the bytes of the blob with this digest, and checks them.
        documents: small blobs by digest that are at hand; they are not asked of ``open_blob``.
        skip: digests of layers that the Docker engine has already, which are left out.

    Raises:
        BundleError: a blob has another size than its image says.
    """
    return _gather(_frame(images, open_blob, documents, skip))


def list_blobs(images: Sequence[NamedImage], skip: frozenset[str] = frozenset()) -> tuple[ImageBlob, ...]:
    """The blobs that the tar holds, in its order, each once: all configurations and manifests, then all layers."""
    small = [blob for facts, _ in images for blob in (facts.manifest, facts.config)]
    layers = [blob for facts, _ in images for blob in facts.layers if blob.digest not in skip]
    return tuple({blob.digest: blob for blob in (*small, *layers)}.values())


def render_index(images: Sequence[NamedImage]) -> bytes:
    """The text of ``index.json``: the manifests with the names that the containerd store gives them."""
    manifests = [{**render_descriptor(facts.manifest), "annotations": _annotate(alias)} for facts, alias in images]
    return _render({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def render_manifest_list(images: Sequence[NamedImage]) -> bytes:
    """The text of ``manifest.json``, which the store with its own layers reads."""
    return _render(
        [
            {
                "Config": _path(facts.config),
                "RepoTags": [alias],
                "Layers": [_path(layer) for layer in facts.layers],
            }
            for facts, alias in images
        ]
    )


def _frame(
    images: Sequence[NamedImage],
    open_blob: Callable[[str], Iterable[bytes]],
    documents: Mapping[str, bytes],
    skip: frozenset[str],
) -> Iterator[bytes]:
    yield from _frame_document("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield from _frame_document("index.json", render_index(images))
    yield from _frame_document("manifest.json", render_manifest_list(images))
    for blob in list_blobs(images, skip):
        data = documents.get(blob.digest)
        yield from _frame_blob(blob, [data] if data is not None else open_blob(blob.digest))
    yield END


def _frame_document(path: str, data: bytes) -> Iterator[bytes]:
    yield build_header(path, len(data)) + data + bytes(pad(len(data)))


def _frame_blob(blob: ImageBlob, chunks: Iterable[bytes]) -> Iterator[bytes]:
    sent = 0
    yield build_header(_path(blob), blob.size)
    for chunk in chunks:
        sent += len(chunk)
        if sent > blob.size:
            break
        yield chunk
    if sent != blob.size:
        raise BundleError(
            f"Blob {blob.digest} does not have the {blob.size} bytes that its image says ({sent} were read).",
            "run 'stackctl offline-verify'",
        )
    yield bytes(pad(blob.size))


def _gather(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces: every one that is sent costs a system call and its own frame."""
    kept = bytearray()
    for piece in pieces:
        if len(piece) < CHUNK_BYTES // 2:
            kept += piece
        else:
            # A large piece is passed on as it is instead of being copied behind a header.
            if kept:
                yield bytes(kept)
                kept.clear()
            yield piece
        if len(kept) >= CHUNK_BYTES:
            yield bytes(kept)
            kept.clear()
    if kept:
        yield bytes(kept)


def _annotate(alias: str) -> dict[str, str]:
    name = parse_reference(alias)
    return {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": name.tag}


def _path(blob: ImageBlob) -> str:
    return blob_path(blob.digest.removeprefix("sha256:"))


def _render(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()
