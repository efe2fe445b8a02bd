"""Where each byte of a bundle's parts lies: ustar headers, part sizes, and the placement of blobs. Pure.

In: paths and sizes. Out: headers as bytes, and places. Every part is a complete, uncompressed ustar archive of regular
files, each written in exactly one way, so that a part's bytes follow from its list of blobs, and a reader accepts
nothing else.

Source: POSIX.1-1988 ustar, OCI image-spec (image layout).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from stackctl.core.bundle.format.chunks import MAX_CHUNK_BYTES
from stackctl.errors import BundleError, Finding

BLOCK = 512
END = bytes(2 * BLOCK)
# The size field holds eleven octal digits.
MAX_MEMBER_BYTES = 8 * 1024**3 - 1
# A part holds the largest piece of a model, with room to spare.
MIN_PART_BYTES = MAX_CHUNK_BYTES + 1024 * 1024

PART_SIZES: Mapping[str, int] = {
    "fat32": 4_000_000_000,  # a FAT32 file ends at 4 GiB
    "dvd": 4_700_000_000 - 4_700_000_000 % BLOCK,
    "bd": 25_000_000_000 - 25_000_000_000 % BLOCK,
}
_BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DECIMAL = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS = {**_BINARY, **{f"{letter}ib": size for letter, size in _BINARY.items()}, **_DECIMAL}
_SIZE = re.compile(rf"(?P<number>[0-9]{{1,15}}(\.[0-9]{{1,6}})?) ?(?P<unit>{'|'.join(_UNITS)})")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to place: its path in the archive and its size in bytes."""

    path: str
    size: int
    title: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an entry's data lies: part number from 1, offset in bytes after its header."""

    entry: Entry
    part: int
    offset: int


def parse_part_size(text: str) -> int:
    """Bytes of a preset or of a size, rounded down to whole blocks.

    ``MB`` and ``GB`` are powers of ten, as disks are sold; ``MiB``, ``GiB`` and a single letter are powers of two, as
    in ``dd`` and ``split``; upper and lower case are the same.

    Raises:
        ValueError: the text is none of these, or means less than 65 MiB.
    """
    lowered = text.strip().lower()
    if lowered in PART_SIZES:
        return PART_SIZES[lowered]
    match = _SIZE.fullmatch(lowered)
    if not match:
        expected = "expected fat32, dvd, bd, or a size such as 700MB, 4.7GB, 2GiB or 4000000000"
        raise ValueError(f"'{text}' is no part size; {expected}")
    size = int(Fraction(match["number"]) * _UNITS[match["unit"]])
    if size < MIN_PART_BYTES:
        piece = MAX_CHUNK_BYTES >> 20
        raise ValueError(
            f"'{text}' is too small for a part; at least {MIN_PART_BYTES >> 20}MiB is expected, because models are cut"
            f" into pieces of up to {piece} MiB, and no piece is split"
        )
    return size - size % BLOCK


def blob_path(sha256: str) -> str:
    """A blob's path in an OCI image layout."""
    return f"blobs/sha256/{sha256}"


def part_name(number: int) -> str:
    """File name of the part with this number, from 1."""
    return f"part-{number:04d}.tar"


def pad(size: int) -> int:
    """Zero bytes between the end of a member's data and the next header."""
    return -size % BLOCK


def build_header(path: str, size: int) -> bytes:
    """The one header that a member with this path and size may have: mode 0644, no owner, no time.

    Raises:
        ValueError: the path or the size does not fit.
    """
    name = path.encode("ascii")
    if len(name) > 100 or not 0 <= size <= MAX_MEMBER_BYTES:
        raise ValueError(f"{path} ({size} bytes) does not fit a ustar header")
    fields = (
        name.ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size,
        b"00000000000\0",
        b" " * 8,
        b"0",
        bytes(100),
        b"ustar\x0000",
        bytes(32),
        bytes(32),
        b"0000000\0",
        b"0000000\0",
        bytes(167),
    )
    header = b"".join(fields)
    checksum = b"%06o\0 " % sum(header)
    return header[:148] + checksum + header[156:]


def parse_header(header: bytes) -> tuple[str, int]:
    """Path and size of a member, from a header that ``build_header`` could have made; an empty path for any other."""
    path, digits = header[:100].rstrip(b"\0"), header[124:135]
    if not path.isascii() or not re.fullmatch(rb"[0-7]{11}", digits):
        return "", 0
    name, size = path.decode("ascii"), int(digits, 8)
    return (name, size) if name and build_header(name, size) == header else ("", 0)


def plan_parts(entries: Iterable[Entry], part_size: int) -> tuple[tuple[Placement, ...], tuple[int, ...]]:
    """Place entries one after another, beginning a new part where one does not fit.

    Returns:
        Placements in the order given, and each part's size in bytes.

    Raises:
        BundleError: entries are larger than a part; names all of them.
    """
    placements: list[Placement] = []
    ends: list[int] = []
    findings: list[Finding] = []
    largest = 0
    for entry in entries:
        needed = BLOCK + entry.size + pad(entry.size)
        if entry.size > MAX_MEMBER_BYTES or needed + len(END) > part_size:
            findings.append(Finding(entry.title or entry.path, f"{entry.size} bytes do not fit one part"))
            largest = max(largest, entry.size)
            continue
        if not ends or ends[-1] + needed + len(END) > part_size:
            ends.append(0)
        placements.append(Placement(entry, len(ends), ends[-1] + BLOCK))
        ends[-1] += needed
    if findings:
        limit = min(part_size - BLOCK - len(END), MAX_MEMBER_BYTES)
        raise BundleError(
            f"Content does not fit parts of {part_size} bytes, which hold files up to {limit} bytes.",
            "give a larger --part-size" if largest <= MAX_MEMBER_BYTES else "build the image with smaller layers",
            findings,
        )
    return tuple(placements), tuple(end + len(END) for end in ends)
