"""Answers in one piece: read whole, and given up when they are longer than any answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aiohttp
import pytest
from gateway.lanes import upstream
from gateway.outcomes import BROKEN_ANSWER, TargetError


class Response:
    """A response whose body arrives in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.content: Any = self
        self.pieces = [*pieces, b""]

    async def readany(self) -> bytes:
        return self.pieces.pop(0)


def read(response: Response) -> bytes:
    return asyncio.run(upstream.read_whole(cast("aiohttp.ClientResponse", response)))


def test_an_answer_is_all_of_its_pieces() -> None:
    assert read(Response(b"a", b"bc")) == b"abc"
    assert read(Response()) == b""


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_MAX_WHOLE_BYTES", 4)
    assert read(Response(b"ab", b"cd")) == b"abcd"
    response = Response(b"ab", b"cde", b"never read")
    with pytest.raises(TargetError) as caught:
        read(response)
    assert caught.value.outcome is BROKEN_ANSWER
    assert response.pieces == [b"never read", b""]
