"""What lies beside a bundle's parts: all that a machine with nothing but Python needs to install ``stackctl``.

In: this installation. Out: files as ``Gathered`` content. Reads through its effects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stackctl import __version__
from stackctl.core.bundle.format.manifest import BootstrapFile
from stackctl.core.bundle.pack.plan import FileRange, InMemory, Source, hash_bytes
from stackctl.errors import BundleError
from stackctl.operations.bundle.pack.gather import Gathered, Sources
from stackctl.operations.effects import Effects, Files

INSTALL_SCRIPT = "scripts/offline-install.sh"
INSTALL_PROGRAM = "install.py"
LOCK_FILE = "requirements.lock"

BootstrapEntry = tuple[BootstrapFile, Source]


def gather_bootstrap(
    effects: Effects,
    sources: Sources,
    collect_wheels: Callable[[Path], tuple[Path, ...]],
    find_own_wheel: Callable[[], Path],
) -> Gathered:
    """Gather the install script, the lock it installs from, and the wheels that the lock names.

    Args:
        collect_wheels: gives the wheels of a hashed lock file.
        find_own_wheel: gives the wheel of the ``stackctl`` that is running.

    Raises:
        BundleError: this installation lacks a file, or a package has no wheel.
    """
    own = find_own_wheel()
    wheels = [*collect_wheels(effects.paths.data_root / LOCK_FILE), own]
    entries = [_pack_wheel(path, sources) for path in sorted(wheels, key=lambda path: path.name)]
    digests = {file.path: file.sha256 for file, _ in entries}
    own_line = f"stackctl=={__version__} --hash=sha256:{digests[f'wheels/{own.name}']}\n"
    entries.append(_pack_text(LOCK_FILE, _load(effects.files, effects.paths.data_root / LOCK_FILE) + own_line))
    entries.append(_pack_text(INSTALL_PROGRAM, _load(effects.files, effects.paths.launcher.with_name(INSTALL_PROGRAM))))
    entries.append(
        _pack_text("install.sh", _load(effects.files, effects.paths.data_root / INSTALL_SCRIPT), executable=True)
    )
    return Gathered(bootstrap=tuple(entries))


def _pack_wheel(path: Path, sources: Sources) -> BootstrapEntry:
    digest = sources.hash_file(path, lambda size: None)
    name = f"wheels/{path.name}"
    file = BootstrapFile(path=name, size=digest.size, sha256=digest.sha256, executable=False)
    return file, FileRange(str(path), 0, digest.stamp)


def _pack_text(name: str, text: str, *, executable: bool = False) -> BootstrapEntry:
    data = text.encode()
    file = BootstrapFile(path=name, size=len(data), sha256=hash_bytes(data), executable=executable)
    return file, InMemory(data)


def _load(files: Files, path: Path) -> str:
    text = files.load_text(path)
    if text is None:
        raise BundleError(f"{path.name} is missing from {path.parent}.", "install stackctl again")
    return text
