"""The disk: where the project's own files are, and reading and writing a site's files. Does I/O."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import stackctl
from stackctl.core.text.failures import decode_text, find_hint
from stackctl.errors import ConfigError, RuntimeFailure


def find_data_root() -> Path:
    """Folder with ``compose``, ``services`` and ``models``: inside an installed wheel, or the checkout."""
    package = Path(stackctl.__file__).resolve().parent
    packed = package / "_data"
    return packed if packed.is_dir() else package.parent


def find_cache_dir(environment: Mapping[str, str]) -> Path:
    """Folder that outlives sites: service environments and built engines.

    Raises:
        ConfigError: nothing says where this user's files are, as in a container with a user of no name.
    """
    base = environment.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "stackctl"
    try:
        return Path.home() / ".cache" / "stackctl"
    except RuntimeError as error:
        raise ConfigError(
            f"No home folder is known: HOME is not set, and user {os.geteuid()} has no entry in /etc/passwd.",
            "set HOME to a folder that this user may write, as in 'HOME=/data stackctl up'",
        ) from error


def load_text(path: Path, *, is_exact: bool = False) -> str | None:
    """A text file's content; ``None`` when there is no such file.

    Args:
        is_exact: leave a byte order mark, and the ends of lines, as they are.

    Raises:
        ConfigError: the file cannot be read or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        hint = f"make it readable: chmod u+r '{path}'" if _is_own(path) else find_hint(error)
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint) from error
    text = decode_text(data, str(path))
    return data.decode() if is_exact else text


def _is_own(path: Path) -> bool:
    """Whether a file that cannot be read is this user's, who can change that: as root, sudo leaves other files."""
    with suppress(OSError):
        status = path.stat()
        return status.st_uid == os.geteuid() and not status.st_mode & 0o400
    return False


def find_real(path: Path) -> Path:
    """Where a path leads, past every link in it; what does not exist is left as it is."""
    return Path(os.path.realpath(path))


def remove_file(path: Path) -> None:
    """Remove a file that may be gone."""
    path.unlink(missing_ok=True)


def is_same_file(one: Path, other: Path) -> bool:
    """Whether both paths lead to one file, as through a second mount of its folder."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def save_text(path: Path, text: str, mode: int = 0o644) -> bool:
    """Write a file in one step, so that no reader and no crash ever meets half of it.

    Returns:
        Whether the file changed.
    """
    data = text.encode()
    try:
        if path.is_file() and path.read_bytes() == data and (path.stat().st_mode & 0o777) == mode:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data, mode)
    except OSError as error:
        error.filename = str(path)  # what a person knows, not the file that would have taken its place
        raise
    return True


def _replace(path: Path, data: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def hash_folder(folder: Path) -> str:
    """Digest (12 hexadecimal digits) of a source folder's files, by relative path and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(".j2"):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:12]


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can enter, also where one with other rights is there already.

    Raises:
        RuntimeFailure: the folder cannot be made, or belongs to another user.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise RuntimeFailure(
            f"{folder} cannot be made a folder for this user alone: {error.strerror}.",
            "run the command as the site's owner, or remove that folder",
        ) from error


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a site's lock, so that two commands never change one stack at the same time.

    Raises:
        RuntimeFailure: another command holds the lock, named by its process; or this user may not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = path.open("a+")
    except OSError as error:
        message = f"{error.filename} cannot be opened: {error.strerror}."
        raise RuntimeFailure(message, find_hint(error)) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RuntimeFailure(
                f"Another stackctl command is changing this stack (process {holder}).",
                "wait for it to end, then run the command again",
            ) from None
        with suppress(OSError):  # for people alone: on a full disk the lock holds all the same, and 'down' must work
            file.seek(0)
            file.truncate()
            os.write(file.fileno(), str(os.getpid()).encode())
        yield
