"""The files inside the parts: their names there, their order, and what each of them belongs to. Pure: a manifest in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

from stackctl.core.bundle.format.layout import blob_path
from stackctl.core.bundle.format.manifest import Image, LayoutMember, Manifest, Member, Model
from stackctl.core.bundle.format.manifest_reader import list_content


def member_path(member: Member) -> str:
    """The member's name in the part's archive."""
    return member.path if isinstance(member, LayoutMember) else blob_path(member.sha256)


def list_members(manifest: Manifest, number: int) -> tuple[Member, ...]:
    """Everything in one part, from its beginning to its end.

    Args:
        number: the part's number, from 1.
    """
    return tuple(member for member in (*manifest.layout, *manifest.blobs) if member.part == number)


def describe_owners(manifest: Manifest, wanted: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For people, what each of these blobs (by SHA-256) is part of."""
    chosen = frozenset(wanted)
    found: dict[str, list[str]] = defaultdict(list)
    for sha256, owner in _list_owners(manifest, chosen):
        found[sha256].append(owner)
    return {sha256: tuple(owners) for sha256, owners in found.items()}


def _list_owners(manifest: Manifest, wanted: frozenset[str]) -> Iterator[tuple[str, str]]:
    for member in manifest.layout:
        if member.sha256 in wanted:
            yield member.sha256, member.path
    for image in manifest.images:
        yield from _list_image(image, wanted)
    sizes = {item.sha256: item.size for item in list_content(manifest)}
    for model in manifest.models:
        yield from _list_model(model, sizes, wanted)
    for file in manifest.files:
        if file.sha256 in wanted:
            yield file.sha256, f"file {file.path}"


def _list_image(image: Image, wanted: frozenset[str]) -> Iterator[tuple[str, str]]:
    named = [("index", image.index), ("manifest", image.manifest), ("configuration", image.config)]
    count = len(image.layers)
    named += [(f"layer {number} of {count}", layer) for number, layer in enumerate(image.layers, 1)]
    for title, blob in named:
        if blob is not None and blob.digest.removeprefix("sha256:") in wanted:
            yield blob.digest.removeprefix("sha256:"), f"image {image.reference}, {title}"


def _list_model(model: Model, sizes: dict[str, int], wanted: frozenset[str]) -> Iterator[tuple[str, str]]:
    for file in model.files:
        offset = 0
        for chunk in file.chunks:
            end = offset + sizes[chunk]
            if chunk in wanted:
                yield chunk, f"model file {file.path}, its bytes {offset} to {end - 1}"
            offset = end
