"""What is kept, as values. Pure."""

from __future__ import annotations

from typing import NamedTuple


class CacheError(Exception):
    """The file cannot be used; the message says why in a few words.

    Attributes:
        is_broken: whether it is damaged, so that it stays unusable until it is replaced.
    """

    def __init__(self, message: str, is_broken: bool = False) -> None:
        super().__init__(message)
        self.is_broken = is_broken


class Entry(NamedTuple):
    """One kept answer; times in seconds since 1970.

    Attributes:
        model: the route's served name.
        key: name of the key that asked.
        is_local: whether a server in the building gave it.
        answer: what the client was sent, a stream in the framing of its format; sealed where the site has a key.
    """

    digest: bytes
    model: str
    key: str
    target: str
    warning: str
    is_stream: bool
    is_local: bool
    stored_at: float
    ends_at: float
    answer: bytes

    @property
    def about(self) -> bytes:
        """Everything but the answer, which belongs to it where it is sealed."""
        return repr(self[:-1]).encode()


class Size(NamedTuple):
    """How much is kept, in answers and in bytes of the file that they take."""

    answers: int
    bytes: int
