"""What is remembered of a key: by whom, for how long, and for whom it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from chat_api.exceptions.chat_exceptions import ChatApiException, OpenAIClientException, ValidationException
from chat_api.external.gateway_client import Credentials, GatewayClient
from chat_api.service import verdicts
from chat_api.service.asking import Asker
from chat_api.service.keys import SelectedKey

KEY, OTHER = SelectedKey("sk-a", "user"), SelectedKey("sk-b", "user")


class Gateway:
    """Judges keys when it is let; ``failure`` is what it says, where that is not that a key is valid."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.failure: ChatApiException | None = None

    @asynccontextmanager
    async def chat(self, who: Credentials, body: bytes, request_id: str) -> AsyncIterator[object]:
        """See ``GatewayClient``."""
        if self.failure:
            raise self.failure
        yield object()

    async def list_models(self, key: str) -> list[dict[str, Any]]:
        """See ``GatewayClient``."""
        self.asked.append(key)
        await self.answers.wait()
        if self.failure:
            raise self.failure
        return []


def open_asker(gateway: Gateway, *, takes_provider_keys: bool = False) -> Asker:
    return Asker(cast("GatewayClient", gateway), "sk-own", "sk-free", takes_provider_keys)


def test_requests_at_once_share_one_question_also_when_the_first_leaves() -> None:
    async def tell() -> None:
        gateway = Gateway()
        asker = open_asker(gateway)
        first, *others = (asyncio.ensure_future(asker.judge(KEY)) for _ in range(4))
        await asyncio.sleep(0)
        first.cancel()
        gateway.answers.set()
        assert await asyncio.gather(*others) == ["gateway"] * 3
        assert await asker.judge(KEY) == "gateway"
        assert gateway.asked == [KEY.key]
        await asker.judge(OTHER)
        assert gateway.asked == [KEY.key, OTHER.key]

    asyncio.run(tell())


@pytest.mark.parametrize(("later_s", "asked"), [(14, 1), (16, 2)])
def test_a_verdict_holds_from_when_the_gateway_was_asked(
    monkeypatch: pytest.MonkeyPatch, later_s: int, asked: int
) -> None:
    async def tell() -> None:
        gateway, clock = Gateway(), [1000.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        asker = open_asker(gateway)
        judging = asyncio.ensure_future(asker.judge(KEY))
        while not gateway.asked:
            await asyncio.sleep(0)
        clock[0] += later_s  # it takes its time
        gateway.answers.set()
        await judging
        await asker.judge(KEY)
        assert len(gateway.asked) == asked

    asyncio.run(tell())


def test_the_judgement_of_a_question_is_remembered_and_asked_for_by_nothing_else() -> None:
    async def tell() -> None:
        gateway = Gateway()
        gateway.answers.set()
        asker = open_asker(gateway)
        async with asker.open(KEY, b"", ""):
            assert await asker.judge(KEY) == "gateway"
        assert not gateway.asked
        gateway.failure = ValidationException("key_expired")
        with pytest.raises(ChatApiException, match="key_expired"):
            async with asker.open(KEY, b"", ""):
                pass
        with pytest.raises(ChatApiException, match="key_expired"):
            await asker.judge(KEY)
        assert gateway.asked == [KEY.key]

    asyncio.run(tell())


def test_a_refusal_is_asked_for_again_and_a_failure_is_no_refusal() -> None:
    async def tell() -> None:
        gateway = Gateway()
        gateway.answers.set()
        asker = open_asker(gateway)
        for failure, code in (
            (ValidationException("invalid_key"), "invalid_key"),
            (ValidationException("key_expired"), "key_expired"),
            (OpenAIClientException("gateway_timeout"), "key_unchecked"),
        ):
            gateway.failure = failure
            with pytest.raises(ChatApiException) as refused:
                await asker.judge(KEY)
            assert refused.value.code == code
        gateway.failure = None
        assert await asker.judge(KEY) == "gateway"

    asyncio.run(tell())


def test_the_services_own_key_is_never_taken_for_a_providers() -> None:
    async def tell() -> None:
        gateway = Gateway()
        gateway.answers.set()
        gateway.failure = ValidationException("invalid_key")
        asker = open_asker(gateway, takes_provider_keys=True)
        assert await asker.judge(KEY) == "provider"
        with pytest.raises(ChatApiException, match="service_key_refused"):
            await asker.judge(SelectedKey(KEY.key, "default"))
        with pytest.raises(ChatApiException, match="invalid_key"):
            await asker.confirm(KEY)  # what was kept when the gateway still knew it

    asyncio.run(tell())


def test_so_many_are_remembered_at_most() -> None:
    held = verdicts.Verdicts()
    many = [SelectedKey(f"sk-{number}", "user") for number in range(verdicts._MOST + 1)]
    for key in many:
        held.keep(key, "gateway", 1e12)
    assert held.find(many[0]) is None
    assert held.find(many[1]) == held.find(many[-1]) == "gateway"
