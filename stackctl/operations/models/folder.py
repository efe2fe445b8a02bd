"""What every job on model files needs: their effects, the folder, the catalog, records.

In: paths in the models folder. Out: records, findings, the line of `.env`. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stackctl.core.download.transfer import Reply
from stackctl.core.models.catalog import Use
from stackctl.core.models.checksums import SUFFIX, Checksum, parse_checksum
from stackctl.core.models.files import ModelFile, build_model_header, check_model_files
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.settings.settings import Settings
from stackctl.core.text.progress import Transfer, write_size
from stackctl.errors import ConfigError, Finding, Severity, raise_config_error
from stackctl.operations.effects import Effects, Files, Paths

PARTIAL_FOLDER = ".partial"
# What 'models add' copies; a download ends in ".partial" alone.
ADDING_SUFFIX = ".adding.partial"
OnBytes = Callable[[int], None]


class PartialFile(Protocol):
    """An unfinished file of a download or copy; the adapter says what each method does."""

    position: int

    def write(self, data: bytes) -> None: ...
    def restart(self) -> None: ...
    def sync(self) -> None: ...
    def compute_sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StoreEffects:
    """What jobs on model files do to the world beside ``Effects``.

    Attributes:
        open_reply: makes one HTTP request (method, URL, headers); the company's certificate file comes first.
        hold_download: holds the right to write the model file of this name.
        open_partial: opens an unfinished file from this byte on.
        compute_sha256: gives the digest of a file.
        copy_file: copies a file, synced; gives the digest.
        place_file: renames a file into its final place, in one step.
        load_header: reads the facts of one GGUF file; raises ``GGUFError``.
        load_size: gives a file's size in bytes, None where there is no such file.
        load_free_bytes: gives the bytes that this user can still write.
        list_files: lists files of a folder and its subfolders with this ending; hidden ones are left out.
        is_same_file_system: tells whether a rename from the one path to the other is possible.
    """

    open_reply: Callable[[Path | None, str, str, Mapping[str, str]], AbstractContextManager[Reply]]
    hold_download: Callable[[Path, str], AbstractContextManager[None]]
    open_partial: Callable[[Path, int, OnBytes], AbstractContextManager[PartialFile]]
    compute_sha256: Callable[[Path, OnBytes], str]
    copy_file: Callable[[Path, Path, OnBytes], str]
    place_file: Callable[[Path, Path], None]
    load_header: Callable[[Path], GGUFHeader]
    load_size: Callable[[Path], int | None]
    load_free_bytes: Callable[[Path], int]
    list_files: Callable[[Path, str], tuple[Path, ...]]
    is_same_file_system: Callable[[Path, Path], bool]


@dataclass(frozen=True, slots=True)
class BroughtFile:
    """One file of a model that was pulled or added.

    Attributes:
        source: where the file is from, as its record says.
        was_here: whether a file with this content was here before.
        is_compared: whether the file's digest was compared with one that was known beforehand.
    """

    name: str
    size_bytes: int
    sha256: str
    source: str
    was_here: bool
    is_compared: bool


@dataclass(frozen=True, slots=True)
class BroughtModel:
    """A model that is whole in the folder now.

    Attributes:
        setting: line of `.env` that serves the model.
        warnings: findings that stop nothing.
    """

    files: tuple[BroughtFile, ...]
    setting: str
    warnings: tuple[Finding, ...]


def judge_model(files: tuple[ModelFile, ...], refusal: str, use: Use | None) -> tuple[str, tuple[Finding, ...]]:
    """Whether the files are one model that can be served: the line of `.env` that serves it, and warnings.

    Args:
        files: all of the model, n >= 1; the first one is what the setting names.
        refusal: first line of the error.
        use: what the catalog says the model is for; None where it does not know the file.

    Raises:
        ConfigError: the files are no such model; has every reason.
    """
    header = build_model_header(files)
    is_embedding = use == "embedding" or bool(header and header.is_embedding)
    name = Path(files[0].path).name
    findings = check_model_files("model", files[0].path, files, "embedding" if is_embedding else "chat")
    raise_config_error(refusal, findings)
    setting = "EMBEDDING_MODEL" if is_embedding else "CODE_MODEL" if use == "code" else "CHAT_MODEL"
    return f"{setting}={name}", tuple(item for item in findings if item.severity is Severity.WARNING)


def find_models_dir(paths: Paths, settings: Settings) -> Path:
    """The site's models folder."""
    return paths.site / settings.models_dir


def load_checksum(files: Files, path: Path) -> Checksum | None:
    """The record of a file's digest; None where there is none."""
    return parse_checksum(files.load_text(path.with_name(path.name + SUFFIX)))


def save_checksum(files: Files, path: Path, checksum: Checksum) -> None:
    """Record a file's digest beside it."""
    files.save_text(path.with_name(path.name + SUFFIX), checksum.render_text(path.name), 0o644)


def hash_model(effects: Effects, store: StoreEffects, path: Path) -> str:
    """Digest of a model file, with progress."""
    return store.compute_sha256(path, make_reporter(effects, f"checking {path.name}", store.load_size(path) or 0))


def make_reporter(effects: Effects, title: str, size_bytes: int) -> OnBytes:
    """Make the function to call with the number of bytes that a step has done."""
    progress = Transfer(title, size_bytes, effects.terminal.report, effects.clock.monotonic)
    return lambda position: progress.add(position - progress.done)


def check_space(store: StoreEffects, folder: Path, needed_bytes: int) -> None:
    """Refuse before anything is written.

    Raises:
        ConfigError: the folder's file system has less room than is needed.
    """
    free = store.load_free_bytes(folder)
    if needed_bytes > free:
        message = f"{folder} has {write_size(free)} free, and {write_size(needed_bytes)} are needed"
        raise ConfigError(f"{message}. Nothing was written.", "free some space, or set MODELS_DIR to a larger disk")
