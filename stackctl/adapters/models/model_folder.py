"""Read what is in a Hugging Face folder, but for the weights themselves.

In: a path. Out: a ``ModelFolder``. Does I/O; a file that cannot be read raises nothing, its problem is said. Links, of
which a hub's cache is made, are followed.
"""

from __future__ import annotations

import re
from pathlib import Path

from stackctl.core.models.folder import TEXTS, WEIGHTS, FolderFile, ModelFolder
from stackctl.core.models.safetensors import SafetensorsError, parse_safetensors

# The largest tokenizer_config.json and index are a few megabytes.
MAX_TEXT_BYTES = 64 << 20
# Where the hub's client writes down what it downloaded: commit, digest, time.
_RECORDS = Path(".cache") / "huggingface" / "download"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def load_folder(path: Path) -> ModelFolder:
    """Read the folder's list of files, its short texts and the headers of its weights."""
    try:
        names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        problem = f"the folder cannot be read: {error.strerror}"
        return ModelFolder(str(path), (FolderFile("config.json", 0, problem),), {})
    files = tuple(_load_file(path / name) for name in names if not (path / name).is_dir())
    texts = {name: text for name in TEXTS if (text := _load_text(path / name)) is not None}
    return ModelFolder(str(path), files, texts)


def _load_file(path: Path) -> FolderFile:
    try:
        if not path.exists():
            return FolderFile(path.name, 0, f"is a link to nothing ({path.readlink()})")
        if not path.is_file():  # a device or pipe would block or never end
            return FolderFile(path.name, 0, "is no regular file")
        size, sha256 = path.stat().st_size, _find_digest(path)
        with path.open("rb") as file:
            weights = parse_safetensors(file) if path.name.endswith(WEIGHTS) else None
        return FolderFile(path.name, size, weights=weights, sha256=sha256)
    except SafetensorsError as error:
        return FolderFile(path.name, size, str(error), sha256=sha256)
    except OSError as error:
        return FolderFile(path.name, 0, f"cannot be read: {error.strerror}")


def _load_text(path: Path) -> str | None:
    """A file's text; None where there is none that can be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_TEXT_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _find_digest(path: Path) -> str:
    """The digest that the hub gave for a large file: its record's, or in a hub's cache the name of the linked blob."""
    if path.is_symlink():
        name = path.resolve().name
        return name if _SHA256.fullmatch(name) else ""
    try:
        lines = (path.parent / _RECORDS / f"{path.name}.metadata").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return ""
    return next((line for line in lines if _SHA256.fullmatch(line)), "")
