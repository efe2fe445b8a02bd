"""Make the wheel of the ``stackctl`` that is running: the same bytes from a checkout and from an installed wheel.

In: this installation. Out: one wheel, stored uncompressed, because compressors of different machines write different
bytes, in sorted order, without times and owners. Does I/O, but needs no network: a checkout is built by the hatchling
that bootstrap installed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePosixPath
from typing import Final

from stackctl.adapters.files.site_files import find_data_root
from stackctl.adapters.machine.commands import run_command
from stackctl.adapters.process.environments import find_installer
from stackctl.errors import BundleError, RuntimeFailure

_NAME: Final = "stackctl"
_BUILD_TIMEOUT_S: Final = 300.0
# What installers add to a wheel's own metadata.
_ADDED: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
# The earliest time that a zip file can hold.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o100644 << 16


def build_own_wheel(out: Path) -> Path:
    """Write the wheel into a folder, under its own digest: packs of several checkouts share the folder.

    Raises:
        BundleError: a file of the installation was changed since it was installed.
        RuntimeFailure: the checkout could not be built.
    """
    root = find_data_root()
    files = _build_checkout(root) if (root / "pyproject.toml").is_file() else _read_installed(distribution(_NAME))
    info = next(name for name in files if name.endswith(".dist-info/METADATA")).partition("/")[0]
    data = _zip({**files, f"{info}/RECORD": _render_record(files, f"{info}/RECORD")})
    path = out / hashlib.sha256(data).hexdigest() / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another pack may be reading it.
    if not path.is_file() or path.read_bytes() != data:
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_bytes(data)
        fresh.replace(path)
    return path


def _build_checkout(root: Path) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        argv = [find_installer(), "build", "--wheel", "--no-build-isolation", "--offline", "--quiet"]
        done = run_command([*argv, "--python", sys.executable, "--out-dir", folder, str(root)], _BUILD_TIMEOUT_S)
        if done.code:
            raise RuntimeFailure(
                f"stackctl's own wheel could not be built: {done.render_failure()}",
                "make the environment again with 'make setup', which installs hatchling",
            )
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if _is_own(name)]
            return {name: archive.read(name) for name in names}


def _read_installed(found: Distribution) -> dict[str, bytes]:
    """The files of an installed wheel, each compared with the digest that the installer recorded."""
    files: dict[str, bytes] = {}
    changed: list[str] = []
    for entry in found.files or ():
        name = entry.as_posix()
        if not _is_own(name):
            continue
        files[name] = entry.read_binary()
        if entry.hash and _digest(files[name], entry.hash.mode) != entry.hash.value:
            changed.append(name)
    if changed or not files:
        raise BundleError(
            f"The installed stackctl is not the one that was installed; changed: {', '.join(changed) or 'everything'}.",
            "install stackctl again",
        )
    return files


def _is_own(name: str) -> bool:
    """Whether a file is the program's: not a script, not compiled, not added by an installer, not a user's secrets."""
    path = PurePosixPath(name)
    first = path.parts[0] if path.parts else ""
    if "__pycache__" in path.parts or path.suffix == ".pyc" or name.endswith("/"):
        return False
    # A checkout's wheel takes folders as they are, with a .env that somebody left there.
    if path.name.startswith(".env") and path.name != ".env.example":
        return False
    return first == _NAME or (first.endswith(".dist-info") and path.name not in _ADDED)


def _render_record(files: Mapping[str, bytes], name: str) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path, data in sorted(files.items()):
        rows.writerow([path, f"sha256={_digest(data, 'sha256')}", len(data)])
    rows.writerow([name, "", ""])
    return text.getvalue().encode()


def _digest(data: bytes, algorithm: str) -> str:
    return base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    """The archive's bytes; metadata last, as the wheel format recommends."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=lambda name: (".dist-info/" in name, name)):
            info = zipfile.ZipInfo(name, _NO_TIME)
            info.create_system = 3
            info.external_attr = _FILE_MODE
            archive.writestr(info, files[name])
    return data.getvalue()
