"""What the fields of ``bundle.json`` may hold: sizes, digests, and names that are safe wherever they are read. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeVar

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, FailFast, Strict, StringConstraints

# Every JSON reader holds integers up to here exactly.
MAX_INTEGER = 2**53 - 1
MAX_PARTS = 9999

Size = Annotated[int, Ge(0), Le(MAX_INTEGER)]
Number = Annotated[int, Ge(1), Le(MAX_INTEGER)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
PartName = Annotated[str, StringConstraints(pattern=r"^part-[0-9]{4}\.tar$")]
# Relative, ASCII, no hidden or parent folder: safe on every file system that a disk may be formatted with.
SafePath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*$", max_length=200)
]
# Controls of terminals, of lines and of writing direction: what is printed must be what is there.
_UNSEEN: Final = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
# A model's file has the name its maker gave it: any letters, but one path component.
_FILE_NAME: Final = rf"^[^/\\{_UNSEEN}.][^/\\{_UNSEEN}]*$"
_MAX_FILE_NAME: Final = 200
FileName = Annotated[str, StringConstraints(pattern=_FILE_NAME, max_length=_MAX_FILE_NAME)]
Text = Annotated[str, StringConstraints(pattern=rf"^[^{_UNSEEN}]*$", max_length=2000)]
# As Docker's grammar of names has it: a host has no "_", and nothing ends in "-".
Alias = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]+(-+[a-z0-9]+)*\.invalid/[a-z0-9]+(-+[a-z0-9]+)*:[0-9a-f]{12}$", max_length=160
    ),
]
Item = TypeVar("Item")
# JSON's lists become tuples; one ends at its first bad item, because millions of them would be millions of messages.
Many = Annotated[tuple[Item, ...], Strict(False), FailFast()]


class Record(BaseModel):
    """Base of every value of the manifest, strict and frozen: no unknown fields, no conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def is_file_name(text: str) -> bool:
    """Whether a model's file may have this name in a bundle."""
    return len(text) <= _MAX_FILE_NAME and re.fullmatch(_FILE_NAME, text) is not None
