"""Read ``bundle.json`` from bytes that nobody has vouched for, and check that it is consistent with itself. Pure.

In: bytes. Out: a ``Manifest``, or every problem by field. The bytes must be the canonical ones, so duplicate keys,
other spellings and trailing data have no way in. What is accepted describes exactly one set of parts: every offset
follows from the lists.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from pydantic import ValidationError
from pydantic_core import from_json

from stackctl.core.bundle.format.installed_paths import is_program
from stackctl.core.bundle.format.layout import BLOCK, END, MAX_MEMBER_BYTES, pad, part_name
from stackctl.core.bundle.format.manifest import (
    FORMAT,
    MANIFEST_NAME,
    Content,
    Image,
    Manifest,
    Member,
    Model,
    encode_manifest,
    hash_body,
    hash_model,
)
from stackctl.core.bundle.format.manifest_fields import MAX_PARTS
from stackctl.core.text.printable import escape_text
from stackctl.errors import BundleError, Finding

# Some 80,000 blobs, terabytes of content.
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
MAX_SHOWN = 20
MAX_PROBLEMS = 1000
# What Linux's file systems take.
MAX_NAME_BYTES = 255
MAX_SHOWN_CHARACTERS = 200
_HINT = "copy the bundle again from its source"


def parse_manifest(data: bytes, name: str = MANIFEST_NAME) -> Manifest:
    """Read and check a manifest.

    Args:
        data: all bytes of the file; the caller has compared their number with ``MAX_MANIFEST_BYTES``.

    Raises:
        BundleError: the bytes are no usable manifest; names every problem by its field.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{name} has {len(data)} bytes; at most {MAX_MANIFEST_BYTES} are expected.", _HINT)
    try:
        # Not model_validate_json: its errors hold copies of all the input.
        document = from_json(data, allow_inf_nan=False)
        _check_format(document, name)
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(f"{name} is not a bundle's manifest.", _HINT, _list_problems(error, name)) from None
    except ValueError as error:
        raise BundleError(f"{name} is not JSON: {error}.", _HINT) from None
    if encode_manifest(manifest) != data:
        raise BundleError(f"{name} is not in canonical form: a key stands twice, or bytes were added.", _HINT)
    findings = tuple(check_manifest(manifest))
    if findings:
        raise BundleError(f"{name} contradicts itself.", _HINT, findings[:MAX_SHOWN])
    return manifest


def _check_format(document: object, name: str) -> None:
    """Check that this program reads bundles of that format at all; in another one every field could be called wrong."""
    seen = document.get("format") if isinstance(document, dict) else None
    kind = FORMAT.partition("/")[0]
    if isinstance(seen, str) and re.fullmatch(rf"{kind}/[0-9]{{1,9}}", seen, re.ASCII) and seen != FORMAT:
        raise BundleError(
            f"{name} has the format {seen}; this stackctl reads {FORMAT}.",
            "run the bundle's 'sh bootstrap/install.sh', which installs the stackctl that belongs to it",
        )


def _list_problems(error: ValidationError, name: str) -> tuple[Finding, ...]:
    if error.error_count() > MAX_PROBLEMS:
        return (Finding(name, f"{error.error_count()} fields are missing, wrong or unknown"),)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(
        Finding(
            escape_text(".".join(str(step) for step in problem["loc"])[:MAX_SHOWN_CHARACTERS]) or name, problem["msg"]
        )
        for problem in problems[:MAX_SHOWN]
    )


def check_manifest(manifest: Manifest) -> Iterator[Finding]:
    """Find everything wrong that the types alone do not show."""
    if hash_body(manifest) != manifest.id:
        yield Finding("id", f"is {manifest.id}, but the content's is {hash_body(manifest)}")
    if manifest.inherited and manifest.base is None:
        yield Finding("inherited", "names content of a base, but there is no base")
    if manifest.base is not None and manifest.base.version >= manifest.version:
        yield Finding("base", f"has version {manifest.base.version}, not older than this bundle's {manifest.version}")
    yield from _check_parts(manifest)
    yield from _check_sorted(manifest)
    yield from _check_references(manifest)


def _check_parts(manifest: Manifest) -> Iterator[Finding]:
    """Check that members lie one after another from a part's begin to its end, with no gap for anything else."""
    if len(manifest.parts) > MAX_PARTS:
        yield Finding("parts", f"are {len(manifest.parts)}; at most {MAX_PARTS} are expected")
    for number, part in enumerate(manifest.parts, 1):
        if part.name != part_name(number):
            yield Finding("parts", f"the part at place {number} is named {part.name}")
    ends = [0] * len(manifest.parts)
    current = 1
    for member in (*manifest.layout, *manifest.blobs):
        if not current <= member.part <= len(ends):
            yield Finding("blobs", f"{member.sha256} lies in part {member.part}, out of order")
            return
        current = member.part
        expected = ends[current - 1] + BLOCK
        if member.offset != expected or member.size > MAX_MEMBER_BYTES:
            yield Finding("blobs", f"{member.sha256} lies at {member.offset} of part {current}; expected is {expected}")
            return
        ends[current - 1] = expected + member.size + pad(member.size)
    for part, end in zip(manifest.parts, ends, strict=True):
        if part.size != end + len(END):
            yield Finding(part.name, f"has {part.size} bytes; its members make {end + len(END)}")


def _check_sorted(manifest: Manifest) -> Iterator[Finding]:
    if tuple(member.path for member in manifest.layout) not in ((), ("oci-layout", "index.json")):
        yield Finding("layout", "is not oci-layout and index.json")
    lists: tuple[tuple[str, list[str]], ...] = (
        ("files", [file.path for file in manifest.files]),
        ("bootstrap", [file.path for file in manifest.bootstrap]),
        ("inherited", [item.sha256 for item in manifest.inherited]),
        ("images", [image.alias for image in manifest.images]),
    )
    for name, keys in lists:
        if keys != sorted(set(keys)):
            yield Finding(name, "is not sorted, or names something twice")
    for name in ("files", "bootstrap"):
        # A disk formatted for Windows knows no case.
        paths = [file.path.lower() for file in getattr(manifest, name)]
        yield from _report_twice(name, paths)
        yield from _check_nesting(name, paths)
    yield from _report_twice("blobs", (item.sha256 for item in list_content(manifest)))
    yield from _report_twice("images.uses", (use for image in manifest.images for use in image.uses))
    yield from _report_twice("models.served_names", (name for model in manifest.models for name in model.served_names))
    # What a model's folder on a site is named by.
    yield from _report_twice("models.digest", (model.digest[:16] for model in manifest.models))


def _check_nesting(name: str, paths: list[str]) -> Iterator[Finding]:
    """Check that no file is another one's folder."""
    known = set(paths)
    for path in paths:
        for parent in PurePosixPath(path).parents:
            if str(parent) in known:
                yield Finding(name, f"'{parent}' is a file, and '{path}' lies in it")


def _report_twice(name: str, keys: Iterable[str]) -> Iterator[Finding]:
    for key, count in Counter(keys).items():
        if count > 1:
            yield Finding(name, f"'{key}' stands {count} times")


def _check_references(manifest: Manifest) -> Iterator[Finding]:
    """Check that what an image, a model or a file is made of is there in the size it says; and nothing else is."""
    sizes = {item.sha256: item.size for item in list_content(manifest)}
    used: set[str] = set()
    for image in manifest.images:
        yield from _check_image(image, sizes, used)
    for model in manifest.models:
        yield from _check_model(model, sizes, used)
    for file in manifest.files:
        used.add(file.sha256)
        if sizes.get(file.sha256) != file.size:
            yield Finding(file.path, f"{file.sha256} is not among the blobs, or has another size")
    if manifest.engine and manifest.engine.path not in {file.path for file in manifest.files if is_program(file.path)}:
        yield Finding("engine", f"{manifest.engine.path} is no program of this bundle")
    for sha256 in sorted(sizes.keys() - used)[:MAX_SHOWN]:
        yield Finding("blobs", f"{sha256} belongs to no image, model or file")


def _check_image(image: Image, sizes: dict[str, int], used: set[str]) -> Iterator[Finding]:
    for blob in image.blobs:
        sha256 = blob.digest.removeprefix("sha256:")
        used.add(sha256)
        if sizes.get(sha256) != blob.size:
            yield Finding(image.reference, f"{blob.digest} is not among the blobs, or has another size")
    if len(image.diff_ids) != len(image.layers):
        yield Finding(image.reference, f"has {len(image.layers)} layers and {len(image.diff_ids)} diff ids")
    if not image.alias.endswith(image.manifest.digest.removeprefix("sha256:")[:12]):
        yield Finding(image.reference, f"its alias {image.alias} is not named by its manifest's digest")


def _check_model(model: Model, sizes: dict[str, int], used: set[str]) -> Iterator[Finding]:
    name = model.served_names[0] if model.served_names else model.digest
    if hash_model(model.files) != model.digest:
        yield Finding(name, f"its files' digest is {hash_model(model.files)}, not {model.digest}")
    if not model.files or not model.served_names:
        yield Finding(name, "has no file, or no name that it is served under")
    yield from _report_twice(f"{name}.files", (file.path.lower() for file in model.files))
    for file in model.files:
        used.update(file.chunks)
        if len(file.path.encode()) > MAX_NAME_BYTES:
            yield Finding(file.path, f"has a name of more than {MAX_NAME_BYTES} bytes")
        missing = [chunk for chunk in file.chunks if chunk not in sizes]
        if missing:
            yield Finding(file.path, f"{len(missing)} of its chunks are not among the blobs, the first is {missing[0]}")
        elif sum(sizes[chunk] for chunk in file.chunks) != file.size:
            yield Finding(file.path, f"its chunks do not add up to {file.size} bytes")
        elif len(file.chunks) == 1 and file.chunks[0] != file.sha256:
            yield Finding(file.path, f"is said to hash to {file.sha256}, and its one chunk to {file.chunks[0]}")


def list_content(manifest: Manifest) -> tuple[Content, ...]:
    """Every blob of the bundle, carried or inherited."""
    return (*manifest.blobs, *manifest.inherited)


def find_members(manifest: Manifest) -> dict[str, Member]:
    """Each carried blob's member, by the blob's digest."""
    return {member.sha256: member for member in manifest.blobs}
