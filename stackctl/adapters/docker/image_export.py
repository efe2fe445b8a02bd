"""Read an image out of the Docker engine as a stream; no file of ours is written.

In: a docker SDK client whose time-out is ``TRANSFER_TIMEOUT_S``: before its first byte the engine may be silent for
as long as it takes to copy the image. Out: facts, and checked layer bytes. Works with both of the Docker engine's image
stores: the one with its own layers (overlay2), which forgets the registry's bytes, and the containerd one, which keeps
them.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from stackctl.adapters.docker.image_store import has_containerd_store, inspect_image
from stackctl.core.images.oci import ImageContent, Platform
from stackctl.core.images.oci_documents import MAX_DOCUMENT_BYTES
from stackctl.core.images.reference import is_digest, parse_reference
from stackctl.core.images.saved_image import SavedImage, read_containerd_image, read_docker_image
from stackctl.errors import BundleError, RuntimeFailure

if TYPE_CHECKING:
    from docker import DockerClient

CHUNK_BYTES: Final = 1 << 20
_MAX_DOCUMENTS_BYTES: Final = 64 << 20
_BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})")


def read_image(client: DockerClient, reference: str) -> ImageContent:
    """Learn an image's facts and documents from one pass over what the Docker engine exports; layers are not kept.

    Raises:
        ImageUnavailable: the Docker engine does not have the image.
        BundleError: the image cannot be carried in a bundle.
    """
    name = reference if is_digest(reference) else str(parse_reference(reference))
    saved = _survey(client, reference)
    if not has_containerd_store(client):
        return read_docker_image(saved, name)
    version = client.version()
    return read_containerd_image(saved, name, Platform(version["Os"], version["Arch"]))


def stream_layers(
    client: DockerClient, reference: str, wanted: frozenset[str]
) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Layers in the order in which the Docker engine sends them: digest, size in bytes, and their bytes.

    Each one's bytes are read before the next is asked for; what is left of them is passed over.

    Raises:
        ImageUnavailable: the Docker engine does not have the image.
        BundleError: a layer is missing, or its bytes are not those of its digest.
    """
    missing = set(wanted)
    with _open_export(client, reference) as archive:
        for member in _list_members(archive):
            digest = _read_digest(member)
            if digest not in missing:
                continue
            missing.discard(digest)
            yield digest, member.size, _check_bytes(_read_member(archive, member, reference), reference, digest)
    if missing:
        raise BundleError(
            f"The engine did not export every layer of {reference}; missing: {', '.join(sorted(missing))}.",
            f"run 'docker image inspect {reference}', then try again",
        )


def _survey(client: DockerClient, reference: str) -> SavedImage:
    """Sizes of all blobs of an export, and the bytes of its documents."""
    sizes: dict[str, int] = {}
    files: dict[str, bytes] = {}
    room = _MAX_DOCUMENTS_BYTES
    with _open_export(client, reference) as archive:
        for member in _list_members(archive):
            digest = _read_digest(member)
            if digest:
                sizes[digest] = member.size
            if data := _read_document(archive, member, reference):
                files[digest or member.name] = data
                room -= len(data)
            if room < 0:
                raise BundleError(f"The documents of {reference} have more than 64 MiB.", "name another image")
    return SavedImage(sizes, files)


def _read_document(archive: tarfile.TarFile, member: tarfile.TarInfo, reference: str) -> bytes:
    """Bytes of an archive's member if it may be a document: it is small, and no tar, gzip or zstd begins like JSON."""
    if member.size > MAX_DOCUMENT_BYTES:
        return b""
    digest = _read_digest(member)
    chunks = _read_member(archive, member, reference)
    data = b"".join(_check_bytes(chunks, reference, digest) if digest else chunks)
    return data if data[:1] in (b"{", b"[") else b""


@contextmanager
def _open_export(client: DockerClient, reference: str) -> Iterator[tarfile.TarFile]:
    """What ``docker save`` would write, as an archive that is read once from front to back."""
    with _explain_break(reference):
        inspect_image(client, reference)
        source: Any = _ChunkFile(client.api.get_image(reference, chunk_size=CHUNK_BYTES))
        with tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK_BYTES) as archive:
            yield archive


@contextmanager
def _explain_break(reference: str) -> Iterator[None]:
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException, tarfile.TarError) as error:
        raise RuntimeFailure(
            f"The Docker engine broke off exporting {reference}: {error}.", "check its disk and its log"
        ) from error


class _ChunkFile:
    """A stream of chunks as the file that tarfile reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._kept = b""

    def read(self, size: int) -> bytes:
        pieces, have = [self._kept], len(self._kept)
        while have < size and (chunk := next(self._chunks, b"")):
            pieces.append(chunk)
            have += len(chunk)
        data = b"".join(pieces)
        self._kept = data[size:]
        return data[:size]


def _list_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        # tarfile would keep every one.
        archive.members = []  # type: ignore[attr-defined]
        if member.isreg():
            yield member


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, reference: str) -> Iterator[bytes]:
    file = archive.extractfile(member)
    assert file is not None, "only regular files are listed"
    with _explain_break(reference):
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _check_bytes(chunks: Iterable[bytes], reference: str, digest: str) -> Iterator[bytes]:
    hashed = hashlib.sha256()
    for chunk in chunks:
        hashed.update(chunk)
        yield chunk
    if f"sha256:{hashed.hexdigest()}" != digest:
        raise BundleError(
            f"The engine exported other bytes than those of layer {digest} of {reference} "
            f"(their digest is sha256:{hashed.hexdigest()}).",
            "try again; if it stays, remove the image and make it again",
        )


def _read_digest(member: tarfile.TarInfo) -> str:
    match = _BLOB.fullmatch(member.name)
    return f"sha256:{match[1]}" if match else ""
