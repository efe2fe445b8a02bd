"""Open the files of models and hand them to the core's parsers.

In: paths. Out: headers, or why there is none. Reads the header of each file, never the weights.
"""

from __future__ import annotations

from pathlib import Path

from stackctl.adapters.models.model_folder import load_folder
from stackctl.core.models.files import ModelFile
from stackctl.core.models.folder import build_folder_header
from stackctl.core.models.gguf import GGUFError, GGUFHeader, build_shard_names, parse_gguf


def load_gguf(path: Path) -> GGUFHeader:
    """Read the facts of one GGUF file.

    Raises:
        GGUFError: the file is no usable GGUF file, or cannot be read.
        FileNotFoundError: the file does not exist.
    """
    try:
        # A device or pipe would block or never end.
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise GGUFError(f"not a GGUF file: {path} is {kind}", "name the .gguf file itself")
        with path.open("rb") as file:
            return parse_gguf(file)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        denied = isinstance(error, PermissionError)
        hint = f"make it readable: chmod a+r '{path}'" if denied else "check the disk"
        raise GGUFError(f"the model file cannot be read: {error.strerror}", hint) from error


def load_model_files(path: Path) -> tuple[ModelFile, ...]:
    """Read every file of the model that ``path`` belongs to, in order; a file that cannot be read raises nothing.

    A folder is one entry, with everything in it.
    """
    if path.is_dir():
        folder = load_folder(path)
        return (ModelFile(str(path), build_folder_header(folder), folder=folder),)
    return tuple(_load_file(path.parent / name) for name in build_shard_names(path.name))


def _list_neighbours(path: Path) -> tuple[str, ...]:
    """GGUF files of the path's folder and of the folders in it; of the folder above where that one is missing."""
    folder = next((folder for folder in (path.parent, path.parent.parent) if folder.is_dir()), None)
    if folder is None:
        return ()
    try:
        found = [item for pattern in ("*", "*/*") for item in folder.glob(pattern) if item.suffix.lower() == ".gguf"]
    except OSError:
        return ()
    return tuple(sorted(item.relative_to(folder).as_posix() for item in found))


def _load_file(path: Path) -> ModelFile:
    try:
        return ModelFile(str(path), load_gguf(path))
    except FileNotFoundError:
        return ModelFile(str(path), neighbours=_list_neighbours(path))
    except GGUFError as error:
        return ModelFile(str(path), error=error)
