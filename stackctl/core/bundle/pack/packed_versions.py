"""Which version of each stack was packed last: kept beside the key that signs, and read again by the next pack. Pure.

Text in, values out, and back. Bundles go to fresh disks, so the output folder alone does not know what was packed
before. What is remembered is a version and a digest of the content, so that the same content packed again is the same
bundle, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from stackctl.core.bundle.format.manifest_fields import MAX_INTEGER
from stackctl.errors import BundleError

SUFFIX = ".versions.json"


@dataclass(frozen=True, slots=True)
class PackedVersion:
    """The last bundle of a stack.

    Attributes:
        content: digest of all that the bundle holds and how it is cut, whatever its version; hexadecimal.
    """

    version: int
    content: str


def parse_versions(text: str, name: str) -> dict[str, PackedVersion]:
    """Read the file's text: the last bundle of each stack, by the stack's name.

    Raises:
        BundleError: the text is not what ``render_versions`` writes.
    """
    try:
        found = {stack: PackedVersion(**item) for stack, item in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        found = {"": PackedVersion(0, "")}
    for item in found.values():
        if type(item.version) is not int or not 1 <= item.version <= MAX_INTEGER or not isinstance(item.content, str):
            hint = "bring it back from a copy, or remove it and give --version, higher than any that a site has"
            raise BundleError(f"{name} is damaged: expected is the last version of each stack, as JSON.", hint)
    return found


def render_versions(versions: Mapping[str, PackedVersion]) -> str:
    """The file's text, which ``parse_versions`` reads."""
    return json.dumps({stack: asdict(item) for stack, item in versions.items()}, indent=2, sort_keys=True) + "\n"
