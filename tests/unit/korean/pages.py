"""What a page of documentation consists of, and which English sections a Korean page was compared with. Reads files.

A Korean page ends with a comment of marks, one a line: ``docs/guides/models.md#pull 1a2b3c4d``. A mark is the English
section's address and the beginning of a digest of its words, so that it differs once that section says something else.
"""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise

from tests.fakes import CHECKOUT

_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_MARK = re.compile(r"^([\w./-]+\.md#\S+) ([0-9a-f]{8})$", re.MULTILINE)


def read(name: str) -> str:
    """A file of the checkout."""
    return (CHECKOUT / name).read_text(encoding="utf-8")


def list_headings(text: str) -> list[tuple[int, int, str]]:
    """Each heading: where it begins, its level and its words; comments in code are none."""
    plain = _CODE.sub(lambda found: " " * len(found[0]), text)
    return [(found.start(), len(found[1]), found[2]) for found in _HEADING.finditer(plain)]


def list_commands(text: str) -> list[str]:
    """Lines of shell, without what is said about them."""
    return [re.sub(r"\s+#.*", "", line) for block in _SHELL.findall(text) for line in block.splitlines() if line]


def list_spans(text: str) -> set[str]:
    """What stands in backquotes within sentences: commands, settings, paths and words of the program."""
    return {" ".join(span.split()) for span in _SPAN.findall(_CODE.sub("", text))}


def list_sections(name: str) -> dict[str, str]:
    """Each section of an English page as its address and its digest; how lines are broken does not count."""
    text = read(name)
    headings = list_headings(text)
    bounds = pairwise([*(start for start, _, _ in headings), len(text)])
    sections = {}
    for (start, end), (_, _, title) in zip(bounds, headings, strict=True):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        words = " ".join(text[start:end].split())
        sections[f"{name}#{anchor}"] = hashlib.sha256(words.encode()).hexdigest()[:8]
    return sections


def list_marks(text: str) -> dict[str, str]:
    """The sections that a Korean page was compared with."""
    return dict(_MARK.findall(text))


def list_messages(text: str) -> list[list[str]]:
    """What the first column of each table says is seen."""
    tables = [part.split("\n\n", 1)[0].splitlines() for part in text.split("\n\n| ")[1:]]
    return [[line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] for lines in tables]
