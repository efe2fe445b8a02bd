"""The last version of each stack, in a file beside the key that signs its bundles. Reads and writes that file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stackctl.adapters.files.site_files import hold_lock, load_text, save_text
from stackctl.core.bundle.pack.packed_versions import SUFFIX, PackedVersion, parse_versions, render_versions
from stackctl.errors import Finding, RuntimeFailure, Severity


class VersionMemory:
    """The versions that the holder of a signing key has packed."""

    def __init__(self, key: Path | None, warn: Callable[[Finding], None]) -> None:
        """Without a key nothing is remembered: no signature would say whose versions they are."""
        self._file = key.with_name(key.name + SUFFIX) if key else None
        self._warn = warn

    def load(self) -> dict[str, PackedVersion]:
        """The last packed version of each stack, by the stack's name.

        Raises:
            BundleError: the file is damaged.
        """
        return parse_versions(load_text(self._file) or "", str(self._file)) if self._file else {}

    def save(self, stack: str, packed: PackedVersion) -> None:
        """Remember a bundle, unless a later one is remembered; a file that cannot be written is a warning."""
        if self._file is None:
            return
        try:
            with hold_lock(self._file.with_name(f".{self._file.name}.lock")):
                known = self.load()
                if stack in known and known[stack].version > packed.version:
                    return
                save_text(self._file, render_versions({**known, stack: packed}))
        except (OSError, RuntimeFailure) as error:
            reason = error.message if isinstance(error, RuntimeFailure) else f"{error.strerror}"
            message = f"cannot be written ({reason}): the next pack will not know version {packed.version}"
            hint = f"give the next pack --version {packed.version + 1}"
            self._warn(Finding(str(self._file), message, hint, Severity.WARNING))
