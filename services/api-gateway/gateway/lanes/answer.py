"""What a lane reads of a server: one answer, its head and then its body piece by piece. No I/O of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.outcomes import BROKEN_ANSWER, TargetError

# A thousand vectors of 4,096 numbers are 50 MB.
_MAX_WHOLE_BYTES = 256 * 1024 * 1024

# Takes a piece of a body; says whether it wants the next one.
Take = Callable[[bytes], bool]


class Answer(Protocol):
    """An answer whose head is there.

    Attributes:
        headers: their names in any case.
    """

    @property
    def status(self) -> int:
        """The status of HTTP."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by their names in lower case."""

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end. Raises ``TargetError`` for a body that breaks off."""
        ...

    async def pass_to(self, take: Take) -> None:
        """Hand over the body as it arrives, until ``take`` wants no more; what it raises is raised here.

        Raises:
            TargetError: the body ends before that, or breaks off.
        """


def find_media_type(answer: Answer) -> str:
    """The answer's media type in lower case, without parameters; empty when it has none."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_whole(answer: Answer) -> bytes:
    """The whole body of an answer.

    Raises:
        TargetError: it is longer than any answer, or breaks off.
    """
    pieces: list[bytes] = []
    left = _MAX_WHOLE_BYTES
    while piece := await answer.read():
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise TargetError(BROKEN_ANSWER)
    return b"".join(pieces)
