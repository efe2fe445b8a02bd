"""Compare each model file of a bundle with the digest that the manifest has of it as a whole, part by part.

A part that was found right a moment ago is still in memory, so its chunks are hashed once more without the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.layout import part_name
from stackctl.core.bundle.format.manifest import Manifest, Member, ModelFile
from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.errors import BundleError, Finding

if TYPE_CHECKING:
    from stackctl.operations.bundle.check.reading import BundleReader

HINT = "ask whoever packed it to pack it again: its manifest contradicts itself"


@dataclass(slots=True)
class _File:
    """A model file that is being hashed from front to back.

    Attributes:
        chunks: members that make up the file, in their order.
        position: number of the next chunk to hash, from 0.
    """

    file: ModelFile
    chunks: tuple[Member, ...]
    position: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


class WholeModels:
    """The model files of a bundle that can be checked: those whose every chunk the bundle carries."""

    def __init__(self, reader: BundleReader, manifest: Manifest, parts: Mapping[str, Path]) -> None:
        """Find the files that can be checked; nothing is read yet.

        Args:
            parts: file that each part is read from, by the part's name.
        """
        members = find_members(manifest)
        self._reader, self._parts = reader, parts
        self._right: set[str] = set()
        self._files = [
            _File(file, tuple(members[chunk] for chunk in file.chunks))
            for model in manifest.models
            for file in model.files
            # Of a file of one chunk the manifest itself says the same twice.
            if len(file.chunks) > 1 and all(chunk in members for chunk in file.chunks)
        ]

    def go_on(self, name: str) -> Iterator[Finding]:
        """Hash what can be hashed now that a part was found right; a finding for each file with another digest."""
        self._right.add(name)
        for item in self._files:
            before = item.position
            self._hash(item)
            if before < item.position == len(item.chunks) and item.digest.hexdigest() != item.file.sha256:
                yield build_contradiction(item.file, item.digest.hexdigest())

    def _hash(self, item: _File) -> None:
        while item.position < len(item.chunks):
            member = item.chunks[item.position]
            name = part_name(member.part)
            if name not in self._right:
                return
            try:
                for piece in self._reader.read_range(self._parts[name], member.offset, member.size):
                    item.digest.update(piece)
            except BundleError:
                self._right.discard(name)  # it could be read a moment ago; what else is wrong says its own check
                return
            item.position += 1


def build_contradiction(file: ModelFile, digest: str) -> Finding:
    """The finding for a model file whose chunks are right one by one, and which is another one as a whole."""
    message = f"its chunks are right and together hash to {digest}; the manifest says {file.sha256}"
    return Finding(f"model file {file.path}", message, HINT)
