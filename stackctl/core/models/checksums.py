"""The record of one model file's digest, beside it as ``NAME.gguf.sha256``. Pure.

Text in, values out, and back. The format is coreutils' own, so ``sha256sum -c *.sha256`` checks a models folder on a
machine without stackctl; where the file is from stands in a comment. One record for each file needs no lock and travels
with its file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SUFFIX: Final = ".sha256"
_SOURCE: Final = "# source: "
_LINE: Final = re.compile(r"\\?(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Checksum:
    """The digest of a file's content when it was pulled or added.

    Attributes:
        source: where the file is from: ``hf:owner/repo/file@revision``, an address, or ``a file``; empty when not said.
    """

    sha256: str
    source: str = ""

    def render_text(self, name: str) -> str:
        """The record's text for the file of this name."""
        return f"{_SOURCE}{self.source}\n{self.sha256}  {name}\n"


def parse_checksum(text: str | None) -> Checksum | None:
    """Read a record; None where there is none or it holds no digest."""
    lines = (text or "").splitlines()
    source = next((line.removeprefix(_SOURCE) for line in lines if line.startswith(_SOURCE)), "")
    found = next((match for line in lines if (match := _LINE.fullmatch(line))), None)
    return Checksum(found["digest"].lower(), source) if found else None
