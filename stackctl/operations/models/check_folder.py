"""Check the files of a Hugging Face folder: whole, and with the digests that the hub gave.

In: what is in the folder. Out: a ``CheckedFile`` for each of its files. Reads through its effects; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stackctl.core.models.folder import FolderFile, ModelFolder, check_folder
from stackctl.errors import Finding
from stackctl.operations.effects import Effects
from stackctl.operations.models.checked_file import CheckedFile, show_path
from stackctl.operations.models.folder import StoreEffects, hash_model


def check_folder_files(
    effects: Effects, store: StoreEffects, models_dir: Path, setting: str, folder: ModelFolder, mode: str
) -> list[CheckedFile]:
    """Check each file that the engine needs; what is wrong with the folder as a whole stands under its own path."""
    findings = check_folder(setting, folder, mode)
    files = folder.list_files()
    paths = {f"{folder.path}/{file.name}" for file in files}
    of_folder = tuple(finding for finding in findings if finding.file not in paths)
    checked = [CheckedFile(show_path(Path(folder.path), models_dir), 0, "", (), of_folder)] if of_folder else []
    for file in files:
        path = Path(folder.path) / file.name
        own = [finding for finding in findings if finding.file == str(path)]
        sha256 = hash_model(effects, store, path) if file.sha256 and store.load_size(path) is not None else ""
        own += _compare(path, file, sha256)
        compared = ("hub",) if sha256 else ()
        checked.append(CheckedFile(show_path(path, models_dir), file.size_bytes, sha256, compared, tuple(own)))
    return checked


def _compare(path: Path, file: FolderFile, sha256: str) -> Iterator[Finding]:
    if sha256 and sha256 != file.sha256:
        message = f"the content is not the one that the hub gave: SHA-256 {sha256}, expected {file.sha256}"
        yield Finding("sha256", message, f"remove {path.name} and download it again", file=str(path))
