"""A site on a real disk that bundles are loaded into, with an engine made of values."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.adapters.bundle import parts_reader
from stackctl.adapters.bundle.offline_folder import OfflineFolder
from stackctl.adapters.bundle.part_copy import copy_members
from stackctl.adapters.files import site_files
from stackctl.cli.world.reading import build_reader
from stackctl.core.bundle.format.installed_paths import OFFLINE_FOLDER, model_folder
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.load.checks import Disk, Machine
from stackctl.core.images.oci import ImageFacts
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.load.effects import LoadEffects, LoadRequest
from stackctl.operations.bundle.load.load import run_load
from stackctl.operations.bundle.load.result import LoadResult
from stackctl.operations.bundle.load.rollback import RollbackResult, run_rollback
from stackctl.operations.effects import Effects, Report
from tests.bundle_builder import SECRET, ImageBytes, build_bundle, make_bytes
from tests.fakes import World, override, raised_by

MODEL = make_bytes("model", 150_000)
FILES = {"config/stack.yml": b"version: 1\n", "config/settings.env": b"INFERENCE_SLOTS=2\n", "wheels/a.whl": b"wheel"}
GATEWAY = ImageBytes("api-gateway", [{"base": b"base"}, {"app": b"one"}])
MACHINE = Machine(os="linux", architecture="x86_64", python="3.11", stackctl="0.1.0", docker="28.5.2")


@dataclass
class FakeEngine:
    """An engine that keeps what it was sent.

    Attributes:
        images: alias to the digest of its manifest.
        blobs: everything it has, by digest.
        sent: digests that were sent, in order.
        keeps_blobs: whether it exports layers as they were sent, or unpacked.
        finds_layers: whether it finds layers that it has when they are left out.
    """

    images: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    keeps_blobs: bool = True
    finds_layers: bool = True

    def check(self, facts: ImageFacts, alias: str) -> list[Finding]:
        return [] if self.images.get(alias) == facts.manifest.digest else [Finding(alias, "is not there")]

    def find_present(self, images: Sequence[ImageFacts]) -> frozenset[str]:
        layers = (layer.digest for facts in images for layer in facts.layers)
        return frozenset(digest for digest in layers if self.finds_layers and digest in self.blobs)

    def has(self, facts: ImageFacts) -> bool:
        return facts.manifest.digest in self.blobs

    def name(self, facts: ImageFacts, alias: str) -> None:
        self.images[alias] = facts.manifest.digest

    def remove(self, alias: str) -> bool:
        return self.images.pop(alias, None) is not None

    def export(self, alias: str, wanted: frozenset[str]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        for layer in json.loads(self.blobs[self.images[alias]])["layers"]:
            data = self.blobs[layer["digest"]]
            data = data if self.keeps_blobs else gzip.decompress(data)
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            if digest in wanted:
                yield digest, len(data), iter([data])

    def load(self, chunks: Iterable[bytes], report: Report) -> None:
        """Take all or nothing, as an engine does."""
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks)), mode="r:") as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
        for path, data in found.items():
            if path.startswith("blobs/"):
                digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
                assert path == f"blobs/sha256/{digest.removeprefix('sha256:')}"
                self.sent.append(digest)
                self.blobs[digest] = data
        for entry in json.loads(found["index.json"])["manifests"]:
            name = entry["annotations"]["io.containerd.image.name"]
            self.images[name.removeprefix("docker.io/library/").removeprefix("docker.io/")] = entry["digest"]

    def find_disk(self, needed_bytes: int) -> Disk | None:
        return None


class Place:
    """A site and the machine around it; change its attributes to change them."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.site.mkdir()
        self.world = World(env="", site=self.site)
        self.engine = FakeEngine()
        self.machine = MACHINE
        self.folder = OfflineFolder(self.site / OFFLINE_FOLDER)

    @property
    def effects(self) -> Effects:
        """The fake world, with this site's real disk."""
        files = override(
            self.world.effects.files,
            load_text=self._load_text,
            save_text=site_files.save_text,
            hold_lock=site_files.hold_lock,
            remove_file=site_files.remove_file,
            is_link=Path.is_symlink,
        )
        return replace(self.world.effects, files=files)

    @property
    def load_effects(self) -> LoadEffects:
        """The real disk and the fake engine."""
        return LoadEffects(
            folder=self.folder,
            machine=self.machine,
            reader=build_reader(self.effects),
            copy_members=copy_members,
            read_blob=parts_reader.read_blob,
            connect_engine=lambda: self.engine,
            read_now=lambda: "2026-11-20T12:00:00Z",
        )

    def load(self, *bundles: Path, folders: Sequence[Path] = (), downgrade: bool = False) -> LoadResult:
        """Load bundles that are signed with the builder's key; what became of the last one."""
        request = LoadRequest(bundles, tuple(folders), SECRET.public, allow_downgrade=downgrade)
        return run_load(self.effects, self.load_effects, request)[-1]

    def roll_back(self, prefix: str = "") -> RollbackResult:
        """Go back."""
        return run_rollback(self.effects, self.load_effects, prefix)

    @property
    def current(self) -> str:
        """Short id of the current release."""
        return self.folder.find_link("current")

    def list_files(self) -> dict[str, tuple[int, int]]:
        """Every file of the site, with inode and time of change: the same when nothing was touched."""
        found = {}
        for path in sorted(self.site.rglob("*")):
            if path.name not in ("lock", "staging"):
                status = path.lstat()
                found[str(path.relative_to(self.site))] = (status.st_ino, status.st_mtime_ns)
        return found

    def _load_text(self, path: Path) -> str | None:
        return (
            site_files.load_text(path) if path.is_relative_to(self.site) else self.world.effects.files.load_text(path)
        )


def damage(path: Path, offset: int) -> None:
    """Flip one byte."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(descriptor, 1, offset)
        os.pwrite(descriptor, bytes([byte[0] ^ 0xFF]), offset)
    finally:
        os.close(descriptor)


def build(disk: Path, **changes: Any) -> tuple[Path, Manifest]:
    """A bundle with a model in three parts, files and an image."""
    manifest = build_bundle(disk, **{"files": FILES, "models": {"local-chat": MODEL}, "images": [GATEWAY]} | changes)
    return disk / manifest.folder, manifest


def read_model(place: Place, manifest: Manifest, number: int = 0) -> bytes:
    model = manifest.models[number]
    return (place.site / "offline" / model_folder(model.digest) / model.files[0].path).read_bytes()


def refused(job: Callable[[], object]) -> str:
    """What a load was refused with, as the user reads it."""
    error = raised_by(job)
    assert isinstance(error, BundleError)
    assert error.exit_code == 7
    return str(error)
