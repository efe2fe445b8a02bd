"""Write a bundle's folder: parts, bootstrap files, sums, manifest and, last of all, the signature. Does I/O.

In: a ``Draft`` and the files to lie beside the parts. Out: the folder and its manifest. All of it grows in a hidden
folder beside the bundle's final place, and one rename gives it that name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.adapters.bundle.parts_writer import JOURNAL, OpenBlob, PartsWriter, StreamLayers
from stackctl.adapters.files.durable_files import (
    FILE_MODE,
    FOLDER_MODE,
    PROGRAM_MODE,
    explain_writes,
    set_mode,
    sync_folder,
)
from stackctl.adapters.files.site_files import hold_lock, save_text
from stackctl.core.bundle.format.manifest import (
    BOOTSTRAP_FOLDER,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    SUMS_NAME,
    Manifest,
    encode_manifest,
    render_sums,
)
from stackctl.core.bundle.format.manifest_reader import MAX_MANIFEST_BYTES, parse_manifest
from stackctl.core.bundle.pack.plan import Blob, Draft, Source
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError

BootstrapEntry = tuple[str, bool, int, Source]


@dataclass(frozen=True, slots=True)
class BundleWriter:
    """Writes bundles.

    Attributes:
        open_blob, stream_layers: where the content comes from, as ``PartsWriter`` takes them.
        sign: makes the signature file's text from the manifest's bytes; None leaves the bundle unsigned.
    """

    open_blob: OpenBlob
    stream_layers: StreamLayers
    sign: Callable[[Manifest, bytes], str] | None

    def write(
        self, out: Path, draft: Draft, bootstrap: Sequence[BootstrapEntry], transfer: Transfer
    ) -> tuple[Path, Manifest]:
        """Write what is not there yet, and give the folder its name; the folder and its manifest.

        Raises:
            BundleError: a source changed, the disk is full or fails, or the folder that has the bundle's name is not
                whole.
        """
        with explain_writes(out):
            out.mkdir(parents=True, exist_ok=True)
            with hold_lock(out / f".{draft.body.name}.lock"):
                return self._write(out, draft, bootstrap, transfer)

    def sign_bundle(self, folder: Path, manifest: Manifest) -> bool:
        """Sign a bundle that is there, if there is a key; whether the bundle is signed afterwards."""
        path = folder / SIGNATURE_NAME
        if self.sign is not None:
            with explain_writes(folder):
                save_text(path, self.sign(manifest, encode_manifest(manifest)))
        return path.is_file()

    def _write(
        self, out: Path, draft: Draft, bootstrap: Sequence[BootstrapEntry], transfer: Transfer
    ) -> tuple[Path, Manifest]:
        partial = find_partial(out, draft)
        _remove_others(out, draft.body.name, partial)
        partial.mkdir(mode=0o755, exist_ok=True)
        set_mode(partial, FOLDER_MODE)
        digests = PartsWriter(partial, self.open_blob, self.stream_layers, transfer).write_parts(draft.parts)
        manifest = draft.seal(digests)
        final = out / manifest.folder
        if (final, manifest) in list_bundles(out):
            # Another pack made it while this one planned.
            shutil.rmtree(partial)
            return final, manifest
        if final.exists():
            raise BundleError(f"{final} is there already and is not whole.", "move it away and pack again")
        self._write_bootstrap(partial / BOOTSTRAP_FOLDER, bootstrap, transfer)
        self._write_documents(partial, manifest)
        (partial / JOURNAL).unlink()
        sync_folder(partial)
        partial.replace(final)
        sync_folder(out)
        return final, manifest

    def _write_bootstrap(self, folder: Path, bootstrap: Sequence[BootstrapEntry], transfer: Transfer) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for path, executable, size, source in bootstrap:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                blob = Blob("", size, path, source)
                for piece in self.open_blob(blob, 0, None):
                    file.write(piece)
                    transfer.add(len(piece))
                file.flush()
                os.fsync(file.fileno())
            set_mode(target, PROGRAM_MODE if executable else FILE_MODE)
        for part in [folder, *(item for item in folder.rglob("*") if item.is_dir())]:
            if part.is_dir():
                set_mode(part, FOLDER_MODE)

    def _write_documents(self, folder: Path, manifest: Manifest) -> None:
        data = encode_manifest(manifest)
        (folder / SIGNATURE_NAME).unlink(missing_ok=True)
        save_text(folder / SUMS_NAME, render_sums(manifest))
        save_text(folder / MANIFEST_NAME, data.decode())
        if self.sign is not None:
            save_text(folder / SIGNATURE_NAME, self.sign(manifest, data))


def find_partial(out: Path, draft: Draft) -> Path:
    """Path of the hidden folder in which the parts of exactly this content grow."""
    return out / f".{draft.body.name}.partial-{draft.body.short_id}"


def find_partial_bytes(out: Path, draft: Draft) -> int:
    """Bytes on the disk that earlier, killed packs left: this pack goes on with them, or removes them first."""
    try:
        return sum(path.stat().st_blocks * 512 for path in out.glob(f".{draft.body.name}.partial-*/*"))
    except OSError:
        return 0


def _remove_others(out: Path, name: str, partial: Path) -> None:
    """Remove what killed packs of other content left: no pack can go on with it."""
    for path in out.glob(f".{name}.partial-*"):
        if path != partial:
            shutil.rmtree(path)


def list_bundles(out: Path) -> list[tuple[Path, Manifest]]:
    """The bundles in a folder that have a readable manifest and all files in full size, each with its manifest."""
    found = []
    for path in sorted(out.glob(f"*/{MANIFEST_NAME}")):
        try:
            if path.is_symlink() or path.stat().st_size > MAX_MANIFEST_BYTES:
                continue
            manifest = parse_manifest(path.read_bytes(), str(path))
        except (OSError, BundleError):
            continue
        if _is_whole(path.parent, manifest):
            found.append((path.parent, manifest))
    return found


def _is_whole(folder: Path, manifest: Manifest) -> bool:
    sizes = {part.name: part.size for part in manifest.parts}
    sizes |= {f"{BOOTSTRAP_FOLDER}/{file.path}": file.size for file in manifest.bootstrap}
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def load_manifest(path: Path) -> Manifest:
    """The manifest of a bundle's folder or of its ``bundle.json``; no signature is checked.

    Raises:
        BundleError: the manifest is missing or not usable.
    """
    file = path / MANIFEST_NAME if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{file} is too large to be a manifest.", "give a bundle's folder or its bundle.json")
        return parse_manifest(file.read_bytes(), str(file))
    except OSError as error:
        hint = "give a bundle's folder or its bundle.json"
        raise BundleError(f"{file} cannot be read: {error.strerror}.", hint) from error
