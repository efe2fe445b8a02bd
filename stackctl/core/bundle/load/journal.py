"""The journal of a load: what is safely on the disk, so that a load that was interrupted goes on there. Pure.

Text in, values out, and back. A line is written only after the disk confirmed the data that it is about. The last line
may be torn: it is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

DONE = "done"
PART = "part"
DROP = "drop"


@dataclass(slots=True)
class Journal:
    """What earlier runs have achieved.

    Attributes:
        done: keys of contents that are whole.
        parts: bytes that are there of each content that is not whole, by the content's key.
    """

    done: set[str] = field(default_factory=set)
    parts: dict[str, int] = field(default_factory=dict)

    def forget(self, key: str) -> None:
        """Take out a content: its file is gone, or its bytes were wrong."""
        self.done.discard(key)
        self.parts.pop(key, None)


def parse_journal(text: str) -> Journal:
    """Read a journal; what is not whole or not known counts as not done."""
    journal = Journal()
    for line in text.split("\n")[:-1]:
        verb, _, rest = line.partition(" ")
        if verb == DONE:
            journal.done.add(rest)
        elif verb == DROP:
            journal.forget(rest)
        elif verb == PART:
            key, _, count = rest.partition(" ")
            if count.isascii() and count.isdigit():
                journal.parts[key] = int(count)
    return journal


def render_lines(verb: str, items: Iterable[str]) -> str:
    """Lines to append to the journal, one for each item."""
    return "".join(f"{verb} {item}\n" for item in items)
