"""Which answers may be kept, in memory that all workers share: a miss needs no look into the file. Does no I/O.

A Bloom filter: what it does not know is not in the file, but for an answer that was written a moment ago or by others
than these workers, which is then made and kept anew. What it knows is looked for. Answers that were let go leave their
bits, so the filter is filled anew from the file after so many additions.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable

# A megabyte; with the answers that a file of 10 GB holds, one look of 25 is in vain.
_BYTES = 1 << 20
_BITS = 8 * _BYTES
_MOST_ADDED = 2_000_000
_COUNTER = struct.Struct("=Q")
# Four places out of 32 bytes that are as good as random.
_PLACES = struct.Struct("=4Q")


class Presence:
    """The filter; made before workers are forked, so that it is the same for all of them.

    Two workers that add at the same moment may lose a bit: that answer is kept again when it is next asked for.
    """

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        self._memory = mmap.mmap(-1, _BYTES + _COUNTER.size)
        self.fill(digests)

    @property
    def is_full(self) -> bool:
        """Whether it should be filled anew."""
        return self._count() >= _MOST_ADDED

    def fill(self, digests: Iterable[bytes]) -> None:
        """Know these alone."""
        bits = bytearray(_BYTES)
        count = 0
        for digest in digests:
            count += 1
            for place, bit in _list_places(digest):
                bits[place] |= bit
        self._memory[:_BYTES] = bits
        self._note_count(count)

    def add(self, digests: Iterable[bytes]) -> None:
        """Know these too."""
        count = self._count()
        for digest in digests:
            count += 1
            for place, bit in _list_places(digest):
                self._memory[place] |= bit
        self._note_count(count)

    def may_have(self, digest: bytes) -> bool:
        """Whether the file has to be asked."""
        memory = self._memory
        return all(memory[place] & bit for place, bit in _list_places(digest))

    def _count(self) -> int:
        (count,) = _COUNTER.unpack_from(self._memory, _BYTES)
        return int(count)

    def _note_count(self, count: int) -> None:
        _COUNTER.pack_into(self._memory, _BYTES, count)


def _list_places(digest: bytes) -> list[tuple[int, int]]:
    """Byte and bit of each of a digest's places."""
    return [((number % _BITS) >> 3, 1 << (number & 7)) for number in _PLACES.unpack(digest)]
