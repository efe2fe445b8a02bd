"""Write files that must not exist yet, such as keys: nothing is ever replaced. Does I/O."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from stackctl.errors import ConfigError

_HINT = "name another place with --out"


def create_files(files: Sequence[tuple[Path, str, int]]) -> None:
    """Make files with their final modes from the first byte on: all of them, or none.

    Args:
        files: path, text and mode of each file.

    Raises:
        ConfigError: something has one of these names, or a file cannot be written.
    """
    with ExitStack() as undo:
        for path, text, mode in files:
            _create_file(path, text, mode, undo)
        undo.pop_all()


def _create_file(path: Path, text: str, mode: int, undo: ExitStack) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        undo.callback(path.unlink, missing_ok=True)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, mode)  # whatever the umask is
            file.write(text)
            file.flush()
            os.fsync(handle)
    except FileExistsError:
        raise ConfigError(f"{path} is there already, and is never replaced.", _HINT) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", _HINT) from error
