"""What every job on model files needs: their effects, the folder, the catalog, records; and what fits this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stackctl.core.catalog import CATALOG_FILE, Catalog, parse_catalog
from stackctl.core.checksums import SUFFIX, Checksum, parse_checksum
from stackctl.core.fit import GIB, Device
from stackctl.core.gguf import GGUFHeader
from stackctl.core.host import choose_gpu
from stackctl.core.progress import Transfer, write_size
from stackctl.core.recommend import Candidate, Plan, build_plans, list_candidates
from stackctl.core.settings import Settings
from stackctl.core.transfer import Reply
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects
from stackctl.operations.site import load_settings
from stackctl.operations.state import load_state

PARTIAL_FOLDER = ".partial"
OnBytes = Callable[[int], None]


class PartialFile(Protocol):
    """An unfinished file; the adapter says what each method does."""

    position: int

    def write(self, data: bytes) -> None: ...
    def restart(self) -> None: ...
    def sync(self) -> None: ...
    def compute_sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StoreEffects:
    """What jobs on model files do to the world beside ``Effects``.

    Attributes:
        open_reply: one HTTP request (method, URL, headers); the company's certificate file comes first.
        hold_download: the right to write the model file of this name.
        open_partial: an unfinished file from this byte on.
        compute_sha256: digest of a file.
        copy_file: copy, synced; gives the digest.
        place_file: rename into its final place, in one step.
        load_header: facts of one GGUF file; raises ``GGUFError``.
        load_size: None where there is no such file.
        load_free_bytes: space that this user can still write.
        list_files: files of a folder and its subfolders with this ending; hidden ones left out.
        is_same_file_system: whether a rename from the one to the other is possible.
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
class Recommendation:
    """What this machine can serve.

    Attributes:
        device: in words, with its memory.
        plans: the lines to write for each use; empty when nothing of the catalog fits.
    """

    device: str
    available_bytes: int
    candidates: tuple[Candidate, ...]
    plans: tuple[Plan, ...]


def load_catalog(effects: Effects) -> Catalog:
    """The catalog that came with stackctl.

    Raises:
        ConfigError: it is missing or not usable.
    """
    text = effects.load_text(effects.data_root / CATALOG_FILE)
    if text is None:
        raise ConfigError(f"{CATALOG_FILE} is missing from {effects.data_root}.", "install stackctl again")
    return parse_catalog(text)


def find_models_dir(effects: Effects, settings: Settings) -> Path:
    """The site's models folder."""
    return effects.site / settings.models_dir


def load_checksum(effects: Effects, path: Path) -> Checksum | None:
    """What was recorded of this file."""
    return parse_checksum(effects.load_text(path.with_name(path.name + SUFFIX)))


def save_checksum(effects: Effects, path: Path, checksum: Checksum) -> None:
    """Record a file's digest beside it."""
    effects.save_text(path.with_name(path.name + SUFFIX), checksum.render_text(path.name), 0o644)


def hash_model(effects: Effects, store: StoreEffects, path: Path) -> str:
    """Digest of a model file, with progress."""
    return store.compute_sha256(path, make_reporter(effects, f"checking {path.name}", store.load_size(path) or 0))


def make_reporter(effects: Effects, title: str, size_bytes: int) -> OnBytes:
    """What to call with the position that a step has reached."""
    progress = Transfer(title, size_bytes, effects.report, effects.clock)
    return lambda position: progress.add(position - progress.done)


def check_space(store: StoreEffects, folder: Path, needed_bytes: int) -> None:
    """Refuse before anything is written.

    Raises:
        ConfigError: the folder's file system has less room.
    """
    free = store.load_free_bytes(folder)
    if needed_bytes > free:
        message = f"{folder} has {write_size(free)} free, and {write_size(needed_bytes)} are needed"
        raise ConfigError(f"{message}. Nothing was written.", "free some space, or set MODELS_DIR to a larger disk")


def recommend_models(effects: Effects, memory_gb: float | None = None) -> Recommendation:
    """Judge the catalog for this machine, or for a GPU with this much memory.

    Args:
        memory_gb: in GiB, as cards are sold; None looks at this machine.
    """
    settings = load_settings(effects)[0].values
    title, device = _find_device(effects, settings) if memory_gb is None else _imagine_device(memory_gb)
    slots, kind = settings.inference_slots, settings.kv_cache_type
    candidates = list_candidates(load_catalog(effects), device, slots, kind)
    return Recommendation(title, device.available_bytes, candidates, build_plans(candidates, device, slots, kind))


def _imagine_device(memory_gb: float) -> tuple[str, Device]:
    return f"a GPU with {memory_gb:g} GB", Device(int(memory_gb * GIB), is_gpu=True)


def _find_device(effects: Effects, settings: Settings) -> tuple[str, Device]:
    """The GPU with most free memory, or this machine's free memory."""
    host = effects.load_host(False)
    taken = " (the running stack's share counts as taken; --memory-gb asks for a size)" if load_state(effects) else ""
    choice = choose_gpu(host, settings.stack_gpu)
    if choice.value == "none":
        free = host.memory_available_bytes
        return f"this machine's memory, {free / GIB:.1f} GiB free{taken}", Device(free)
    gpu = max(host.find_gpus(choice.value), key=lambda item: item.memory_free_bytes)
    free = gpu.memory_free_bytes
    return f"{gpu.name}, {free / GIB:.1f} GiB free{taken}", Device(free, is_gpu=True)
