"""Answers in one piece: read whole, and given up when they are longer than any answer."""

from __future__ import annotations

import asyncio

import pytest
from gateway.lanes import answer
from gateway.outcomes import BROKEN_ANSWER, TargetError


class Pieces:
    """An answer whose body arrives in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.pieces = [*pieces, b""]

    async def read(self) -> bytes:
        return self.pieces.pop(0)

    async def pass_to(self, take: answer.Take) -> None:
        raise AssertionError("an answer in one piece is read")


def read(given: Pieces) -> bytes:
    return asyncio.run(answer.read_whole(given))


def test_an_answer_is_all_of_its_pieces() -> None:
    assert read(Pieces(b"a", b"bc")) == b"abc"
    assert read(Pieces()) == b""


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "_MAX_WHOLE_BYTES", 4)
    assert read(Pieces(b"ab", b"cd")) == b"abcd"
    given = Pieces(b"ab", b"cde", b"never read")
    with pytest.raises(TargetError) as caught:
        read(given)
    assert caught.value.outcome is BROKEN_ANSWER
    assert given.pieces == [b"never read", b""]
