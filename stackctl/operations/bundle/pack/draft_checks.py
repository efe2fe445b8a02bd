"""What is refused of a bundle before a byte of it is written.

In: a ``Draft``. Out: nothing, or an error. Reads the disk's free space through its effects; writes nothing.
"""

from __future__ import annotations

from pathlib import Path

from stackctl.core.bundle.format.manifest import MANIFEST_NAME, Manifest, encode_manifest
from stackctl.core.bundle.format.manifest_reader import MAX_MANIFEST_BYTES, MAX_SHOWN, check_manifest
from stackctl.core.bundle.pack.plan import Draft
from stackctl.core.text.progress import write_size
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.pack.effects import PackEffects


def check_readable(draft: Draft) -> None:
    """Refuse what the site's reader would refuse, before anybody carries it there.

    Raises:
        BundleError: the reader would refuse it; has everything that the reader would find.
    """
    findings = list(check_manifest(draft.body))[:MAX_SHOWN]
    size = len(encode_manifest(draft.body))
    if size > MAX_MANIFEST_BYTES:
        findings.append(Finding(MANIFEST_NAME, f"would have {size} bytes, at most {MAX_MANIFEST_BYTES} are read"))
    if findings:
        raise BundleError("This content makes no bundle that could be read.", "", findings)


def check_base(draft: Draft, base: Manifest | None) -> None:
    """Refuse a delta on another stack's bundle, or on a later one.

    Raises:
        BundleError: the base is of another stack, or is a later bundle.
    """
    if base is None:
        return
    if (base.name, base.platform.architecture) != (draft.body.name, draft.body.platform.architecture):
        raise BundleError(
            f"The base is {base.name} for {base.platform.architecture}; packed is {draft.body.name} for"
            f" {draft.body.platform.architecture}.",
            "give the bundle.json of an earlier bundle of this stack",
        )
    if base.version >= draft.body.version:
        raise BundleError(
            f"The base has version {base.version}; a bundle that builds on it must have a higher one than"
            f" {draft.body.version}.",
            "leave --version out",
        )


def check_space(world: PackEffects, out: Path, draft: Draft) -> None:
    """Refuse a bundle that the disk has no room for.

    Raises:
        BundleError: the disk has too little room; has what is free and what is needed.
    """
    needed = draft.body.size_bytes - world.find_partial_bytes(out, draft)
    free = world.find_free_bytes(out)
    if needed > free:
        raise BundleError(
            f"{out} has {write_size(free)} free; the bundle needs {write_size(needed)}.",
            "free some space, or give another --out",
        )
