"""What changed between two bundles, from their manifests alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Literal, TypeVar

from stackctl.core.bundle.format.manifest import Image, Manifest, Model, PackedFile
from stackctl.core.bundle.format.manifest_reader import list_content
from stackctl.core.text.printable import escape_text

Kind = Literal["image", "model", "file", "bootstrap"]
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Entry:
    """An image, model or file of one bundle.

    Attributes:
        digest: SHA-256 that identifies the content; an image's, with ``sha256:``, is that of its manifest.
        detail: an image's reference, or a model's files; empty for a file.
    """

    digest: str
    size: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that two bundles do not share; ``old`` is ``None`` where it was added, ``new`` where it was removed.

    Attributes:
        new_bytes: bytes of the entry's content that the older bundle has nowhere.
    """

    kind: Kind
    name: str
    old: Entry | None
    new: Entry | None
    new_bytes: int

    @property
    def title(self) -> str:
        """What became of the entry, in one word: ``added``, ``removed`` or ``changed``."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"


@dataclass(frozen=True, slots=True)
class BundleDiff:
    """All that differs between two bundles.

    Attributes:
        changes: changed images, models, files and bootstrap files; each kind sorted by name.
        shared_bytes: bytes of the newer bundle's content that the older one has too.
        delta_bytes: bytes that a delta from the older to the newer one carries.
        facts: title, old text and new text of what else differs: version, platform, requirements.
    """

    changes: tuple[Change, ...]
    shared_bytes: int
    delta_bytes: int
    facts: tuple[tuple[str, str, str], ...]


def diff_bundles(old: Manifest, new: Manifest) -> BundleDiff:
    """Compare two bundles; content that a delta left to its base counts as its own."""
    known = {item.sha256 for item in list_content(old)}
    content = list_content(new)
    sizes = {item.sha256: item.size for item in content}
    fresh = {sha256: size for sha256, size in sizes.items() if sha256 not in known}
    changes = (
        *_compare("image", _map_images(old), _map_images(new), lambda image: _describe_image(image, fresh)),
        *_compare("model", _map_models(old), _map_models(new), lambda model: _describe_model(model, fresh)),
        *_compare("file", _map_files(old.files), _map_files(new.files), lambda file: _describe_file(file, fresh)),
        *_compare(
            "bootstrap",
            _map_files(old.bootstrap),
            # A bundle brings all of its own, or none because its base's is the same.
            _map_files(new.bootstrap or (old.bootstrap if _has_same_bootstrap(old, new) else ())),
            lambda file: (Entry(file.sha256, file.size), file.size),
        ),
    )
    carried = sum(fresh.values())
    return BundleDiff(changes, sum(sizes.values()) - carried, carried, tuple(_compare_facts(old, new)))


def render_lines(path: str, old: str, new: str) -> str:
    """A text file's lines that differ, as a unified diff; safe to print, whatever stands in them."""
    lines = unified_diff(old.splitlines(), new.splitlines(), f"old/{path}", f"new/{path}", n=1, lineterm="")
    return "\n".join(escape_text(line) for line in lines)


def _compare(
    kind: Kind,
    old: Mapping[str, Thing],
    new: Mapping[str, Thing],
    describe: Callable[[Thing], tuple[Entry, int]],
) -> Iterator[Change]:
    """Compare things by what they are for; things that changed together, such as one image's uses, are one change."""
    grouped: dict[tuple[Entry | None, Entry | None], list[str]] = {}
    fresh: dict[Entry | None, int] = {None: 0}
    for name in sorted(old.keys() | new.keys()):
        before = describe(old[name])[0] if name in old else None
        after, fresh_bytes = describe(new[name]) if name in new else (None, 0)
        fresh[after] = fresh_bytes
        if (before and before.digest) != (after and after.digest):
            grouped.setdefault((before, after), []).append(name)
    if kind in ("file", "bootstrap"):
        yield from (Change(kind, name, *pair, fresh[pair[1]]) for pair, names in grouped.items() for name in names)
    else:
        yield from (Change(kind, ", ".join(names), *pair, fresh[pair[1]]) for pair, names in grouped.items())


def _map_images(manifest: Manifest) -> dict[str, Image]:
    return {use: image for image in manifest.images for use in image.uses or (image.reference,)}


def _map_models(manifest: Manifest) -> dict[str, Model]:
    return {name: model for model in manifest.models for name in model.served_names or (model.digest,)}


def _has_same_bootstrap(old: Manifest, new: Manifest) -> bool:
    return new.bootstrap_digest is not None and old.bootstrap_digest == new.bootstrap_digest


def _map_files(files: Iterable[PackedFile]) -> dict[str, PackedFile]:
    return {file.path: file for file in files}


def _describe_image(image: Image, fresh: Mapping[str, int]) -> tuple[Entry, int]:
    sizes = {blob.digest.removeprefix("sha256:"): blob.size for blob in image.blobs}
    state = Entry(image.manifest.digest, sum(sizes.values()), image.reference)
    return state, sum(fresh.get(sha256, 0) for sha256 in sizes)


def _describe_model(model: Model, fresh: Mapping[str, int]) -> tuple[Entry, int]:
    chunks = {chunk for file in model.files for chunk in file.chunks}
    names = ", ".join(file.path for file in model.files)
    state = Entry(model.digest, sum(file.size for file in model.files), names)
    return state, sum(fresh.get(chunk, 0) for chunk in chunks)


def _describe_file(file: PackedFile, fresh: Mapping[str, int]) -> tuple[Entry, int]:
    return Entry(file.sha256, file.size), fresh.get(file.sha256, 0)


def _compare_facts(old: Manifest, new: Manifest) -> Iterator[tuple[str, str, str]]:
    for title, before, after in (
        ("name", old.name, new.name),
        ("version", str(old.version), str(new.version)),
        ("architecture", old.platform.architecture, new.platform.architecture),
        ("python", ", ".join(old.platform.python), ", ".join(new.platform.python)),
        ("runtimes", ", ".join(old.runtimes), ", ".join(new.runtimes)),
        ("stackctl", old.requires.stackctl, new.requires.stackctl),
        ("docker", old.requires.docker, new.requires.docker),
    ):
        if before != after:
            yield title, before, after
