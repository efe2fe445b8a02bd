"""What loading a bundle needs beyond the ordinary effects, as types: adapters in real life, fakes in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stackctl.core.bundle.load_checks import Disk, Machine
    from stackctl.core.bundle.load_journal import Journal
    from stackctl.core.bundle.load_plan import InstalledRange, Output, PartCopy, Wanted
    from stackctl.core.bundle.manifest import Member
    from stackctl.core.bundle.oci import ImageFacts
    from stackctl.core.bundle.opened import OpenedBundle
    from stackctl.core.bundle.signature import PublicKey
    from stackctl.errors import BundleError, Finding
    from stackctl.operations.effects import Report


class Staging(Protocol):
    """What is being loaded; adapters/staging.py says what each method does."""

    journal: Journal

    def prepare(self, outputs: Sequence[Output], contents: Iterable[Wanted]) -> None: ...
    def is_done(self, content: Wanted) -> bool: ...
    def find_start(self, content: Wanted) -> int: ...
    def write(self, content: Wanted, pieces: Iterable[bytes], start: int = 0) -> None: ...
    def forget(self, content: Wanted) -> None: ...
    def note_kept(self, name: str) -> None: ...
    def flush(self) -> None: ...
    def save(self, path: str, data: bytes) -> None: ...
    def read(self, path: str) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class OfflineFolder(Protocol):
    """Installed releases and the models' store; adapters/offline_folder.py says what each method does."""

    root: Path

    def prepare(self) -> None: ...
    def open_staging(self, short_id: str) -> Staging: ...
    def list_staging(self) -> dict[str, int]: ...
    def measure(self, path: str) -> int: ...
    def remove(self, path: str) -> None: ...
    def list_releases(self) -> tuple[str, ...]: ...
    def list_models(self) -> tuple[str, ...]: ...
    def load_bytes(self, path: str) -> bytes | None: ...
    def find_link(self, name: str) -> str: ...
    def switch(self, name: str, short_id: str) -> None: ...
    def find_size(self, path: str) -> int | None: ...
    def read_range(self, item: InstalledRange) -> Iterator[bytes]: ...
    def install(self, staged: str, final: str) -> None: ...
    def find_disk(self, title: str, needed_bytes: int, path: Path | None = None) -> Disk: ...


class ImageEngine(Protocol):
    """The container engine as loading sees it; adapters/engine_images.py says what each method does."""

    @property
    def keeps_blobs(self) -> bool: ...
    def check(self, facts: ImageFacts, alias: str) -> list[Finding]: ...
    def find_present(self, images: Sequence[ImageFacts]) -> frozenset[str]: ...
    def has(self, facts: ImageFacts) -> bool: ...
    def name(self, facts: ImageFacts, alias: str) -> None: ...
    def remove(self, alias: str) -> bool: ...
    def export(self, alias: str, wanted: frozenset[str]) -> Iterator[tuple[str, int, Iterator[bytes]]]: ...
    def load(self, chunks: Iterable[bytes], report: Report) -> None: ...
    def find_disk(self, needed_bytes: int) -> Disk | None: ...


@dataclass(frozen=True, slots=True)
class LoadEffects:
    """The world around a load.

    Attributes:
        folder: the site's ``offline/``.
        machine: what the bundle is compared with.
        connect_engine: the engine; asked for only when ``machine`` says that one answers.
        copy_members: write members to staging; those that are bad come back with their errors.
        read_blob: a member's data, checked.
        find_file_size: size in bytes of a part; ``None`` when it is no regular file.
        read_now: the time in UTC, as load.json has it.
    """

    folder: OfflineFolder
    machine: Machine
    open_bundles: Callable[[Sequence[Path], Sequence[Path]], tuple[OpenedBundle, ...]]
    copy_members: Callable[[Any, Sequence[PartCopy], Callable[[int], None]], list[tuple[PartCopy, BundleError]]]
    read_blob: Callable[[Path, Member], Iterator[bytes]]
    find_file_size: Callable[[Path], int | None]
    connect_engine: Callable[[], ImageEngine]
    read_now: Callable[[], str]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What the operator asked for.

    Attributes:
        bundles: folders, or ``bundle.json`` files.
        folders: where else parts may lie.
        public_key: what bundles must be signed with; ``None`` where the site has no key.
    """

    bundles: tuple[Path, ...]
    folders: tuple[Path, ...] = ()
    public_key: PublicKey | None = None
    allow_unsigned: bool = False
    allow_downgrade: bool = False
