"""The journal of a staging folder on its disk, and what is still to be noted in it. Does I/O."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from stackctl.core.bundle.load.journal import Journal, parse_journal

PIECE_BYTES = 1 << 20


@dataclass(slots=True)
class Fresh:
    """What was written since a sync was last ordered.

    Attributes:
        unfinished: number of bytes written of each content that is not whole, in this and earlier rounds.
        lines: lines for the journal, to be added once what they say is on the disk.
    """

    size: int = 0
    paths: set[str] = field(default_factory=set)
    unfinished: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


def recover_journal(descriptor: int) -> Journal:
    """Read the journal, and cut off a line that a crash tore: the next line must not continue it."""
    data = b""
    while piece := os.pread(descriptor, PIECE_BYTES, len(data)):
        data += piece
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.ftruncate(descriptor, len(whole))
    return parse_journal(whole.decode("utf-8", "replace"))
