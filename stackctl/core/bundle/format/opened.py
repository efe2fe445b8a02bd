"""A bundle folder as it was found, and whether its signature holds, before anything in it is parsed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stackctl.core.bundle.format.manifest import MANIFEST_NAME, SIGNATURE_NAME
from stackctl.core.bundle.format.signature import AlteredContent, PublicKey, verify
from stackctl.errors import BundleError

MAX_SIGNATURE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """What was read of a bundle, and where its parts are; none of it has been checked.

    Attributes:
        manifest_bytes: bytes of ``bundle.json``.
        signature_text: text of ``bundle.json.sig``; ``None`` where there is no such file.
        parts: every file with a part's name, in this folder or another that was given, those of this folder first; some
            may be of other bundles.
        twins: further folders with this very ``bundle.json``: one bundle on several disks.
    """

    folder: Path
    manifest_bytes: bytes
    signature_text: str | None
    parts: Mapping[str, tuple[Path, ...]]
    twins: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that this bundle lies in."""
        return (self.folder, *self.twins)

    def join(self, twin: OpenedBundle) -> OpenedBundle:
        """This bundle with what lies in another folder of it."""
        names = self.parts.keys() | twin.parts.keys()
        parts = {name: (*self.parts.get(name, ()), *twin.parts.get(name, ())) for name in sorted(names)}
        unique = {name: tuple(dict.fromkeys(paths)) for name, paths in parts.items()}
        return replace(self, parts=unique, twins=(*self.twins, *twin.folders))


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """Who signed a bundle, or why no one vouches for it.

    Attributes:
        signer: name of the key, 16 hexadecimal digits; empty when no signature was checked.
        comment: text that was signed beside the manifest.
        warning: why no one vouches for the bundle; empty when a key does.
    """

    signer: str
    comment: str = ""
    warning: str = ""

    @property
    def is_signed(self) -> bool:
        """Whether a signature was checked and holds."""
        return bool(self.signer)


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """An entry of a folder tree.

    Attributes:
        path: path from the top of the tree, with ``/``.
        kind: ``file``, ``folder``, ``link`` or ``other`` (a device, a pipe, a socket).
        size: size of a file, in bytes; 0 for everything else.
    """

    path: str
    kind: str
    size: int


def check_signature(opened: OpenedBundle, public_key: PublicKey | None, allow_unsigned: bool) -> SignatureVerdict:
    """Check who signed the manifest's bytes.

    Args:
        allow_unsigned: whether to accept a bundle that cannot be checked; one whose signature is wrong never is.

    Raises:
        BundleError: the signature is wrong, or missing, or there is no key to check it with.
    """
    if opened.signature_text is not None and public_key is not None:
        try:
            comment = verify(public_key, opened.manifest_bytes, opened.signature_text)
        except AlteredContent as error:
            raise BundleError(f"{opened.folder / MANIFEST_NAME}: {error.message}", error.hint) from None
        except BundleError as error:
            raise BundleError(f"{opened.folder / SIGNATURE_NAME}: {error.message}", error.hint) from None
        return SignatureVerdict(public_key.name, comment)
    missing = _explain_missing(opened)
    if not allow_unsigned:
        raise missing
    return SignatureVerdict("", warning=missing.message)


def _explain_missing(opened: OpenedBundle) -> BundleError:
    if opened.signature_text is None:
        return BundleError(
            f"{opened.folder} is not signed: it has no {SIGNATURE_NAME}.",
            "copy it again with its signature, or accept unsigned content with --allow-unsigned",
        )
    return BundleError(
        f"The signature of {opened.folder / MANIFEST_NAME} was not checked: there is no public key.",
        "name the packer's public key with --key, or set BUNDLE_PUBLIC_KEY in .env",
    )
