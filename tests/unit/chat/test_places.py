"""The places of a service: callers without a key have a share, and never stand in the way of the others."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from chat_api.exceptions.chat_exceptions import ChatServiceException
from chat_api.service.places import Places


def test_callers_without_a_key_fill_their_share_alone() -> None:
    places = Places(parallel=4, queue=8, free_parallel=1)
    with ExitStack() as stack:
        for _ in range(3):  # one at the gateway, two wait: a quarter of each
            stack.enter_context(places.enter(is_free=True))
        with pytest.raises(ChatServiceException, match="queue_full"):
            stack.enter_context(places.enter(is_free=True))
        for _ in range(9):
            stack.enter_context(places.enter(is_free=False))
        with pytest.raises(ChatServiceException, match="queue_full"):
            stack.enter_context(places.enter(is_free=False))
    assert (places.inside, places.free_inside) == (0, 0)


def test_at_the_gateway_they_leave_room_for_those_with_one() -> None:
    async def tell() -> None:
        places = Places(parallel=2, queue=8, free_parallel=1)
        async with places.take(is_free=True):
            waits = asyncio.ensure_future(places.take(is_free=True).__aenter__())
            await asyncio.sleep(0)  # it has had its turn
            assert (places.running, waits.done()) == (1, False)
            async with places.take(is_free=False):
                assert places.running == 2
            waits.cancel()
            await asyncio.gather(waits, return_exceptions=True)
        async with places.take(is_free=True), places.take(is_free=False):
            assert places.running == 2

    asyncio.run(tell())
