"""Ask the gateway with the key of a request, and whether it is valid. Does I/O through the client.

A caller's key is tried as the gateway's own. Where the operator allows providers' keys and the gateway does not know
it, it goes to the provider alone, in a header of its own, and the gateway is asked with the service's key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from chat_api.dto.response import KeySource
from chat_api.exceptions.chat_exceptions import (
    ChatApiException,
    ConfigurationException,
    OpenAIClientException,
    ValidationException,
)
from chat_api.external.gateway_client import Credentials, GatewayAnswer, GatewayClient
from chat_api.service.keys import KeyKind, SelectedKey
from chat_api.service.verdicts import Verdicts, name_key

_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that has begun, and whose key it came by."""

    answer: GatewayAnswer
    source: KeySource


class Asker:
    """Asks with the right key.

    Args:
        own_key: the service's; empty for none.
        free_key: that which pays for callers without one; empty for none.
        takes_provider_keys: whether a key that the gateway does not know may be a provider's.
    """

    def __init__(self, client: GatewayClient, own_key: str, free_key: str, takes_provider_keys: bool) -> None:
        self._client, self._own_key, self._free_key = client, own_key, free_key
        self._takes_provider_keys = takes_provider_keys and bool(own_key)
        self._verdicts = Verdicts()
        self._judging: dict[tuple[str, bytes], asyncio.Task[KeyKind]] = {}

    def choose(self, key: SelectedKey) -> Credentials:
        """As what a key is sent, by what is known of it."""
        if self._verdicts.find(key) == "provider":
            return self._add_payer(key)
        return Credentials(key.key)

    @asynccontextmanager
    async def open(self, key: SelectedKey, body: bytes, request_id: str) -> AsyncIterator[Opened]:
        """Ask for a completion; gives the answer once its head is there.

        Raises:
            ChatApiException: it was refused or failed.
        """
        async with AsyncExitStack() as stack:
            who, asked_at = self.choose(key), time.monotonic()
            try:
                answer = await stack.enter_async_context(self._client.chat(who, body, request_id))
            except ValidationException as refusal:
                who = self._choose_again(key, who, refusal)
                answer = await self._ask_provider(stack, who, body, request_id)
            source = key.source
            if not who.provider_key:
                self._verdicts.keep(key, "gateway", asked_at)
            elif not answer.used_callers_key:
                source = "default"
            yield Opened(answer, source)

    async def judge(self, key: SelectedKey) -> KeyKind:
        """Who knows a key, as the gateway said seconds ago or says now; whether a provider's is valid it cannot tell.

        Raises:
            ValidationException: the gateway refuses it.
            ConfigurationException: it refuses the service's own.
            OpenAIClientException: it cannot be asked.
        """
        if kind := self._verdicts.find(key):
            return kind
        name = name_key(key)
        judging = self._judging.get(name)
        if judging is None:
            judging = self._judging[name] = asyncio.ensure_future(self._judge_now(key))
            judging.add_done_callback(lambda done: self._end_judging(name, done))
        return await asyncio.shield(judging)  # for others, too, when this one's client leaves

    async def name_kind(self, key: SelectedKey) -> SelectedKey:
        """A key with who knows it; the gateway is asked only where it may be a provider's.

        Raises:
            ChatApiException: as ``judge``.
        """
        if key.source == "default" or not self._takes_provider_keys:
            return key
        return replace(key, kind=await self.judge(key))

    async def confirm(self, key: SelectedKey) -> None:
        """Whether a key opens what was kept for it.

        Raises:
            ChatApiException: as ``judge``; it is not the gateway's any more, either.
        """
        if await self.judge(key) != key.kind:
            raise ValidationException("invalid_key")

    async def list_models(self, key: SelectedKey) -> list[dict[str, Any]]:
        """The models that a key may ask for.

        Raises:
            ChatApiException: it is refused, or the gateway does not answer.
        """
        who = self.choose(key)
        try:
            return await self._client.list_models(who.key)
        except ValidationException as refusal:
            who = self._choose_again(key, who, refusal)
        return await self._client.list_models(who.key)

    async def _judge_now(self, key: SelectedKey) -> KeyKind:
        asked_at = time.monotonic()
        try:
            await self._client.list_models(key.key)
        except ValidationException as refusal:
            self._choose_again(key, Credentials(key.key), refusal)
            return "provider"
        except OpenAIClientException as failure:
            raise OpenAIClientException("key_unchecked", retry_after_s=_RETRY_S) from failure
        self._verdicts.keep(key, "gateway", asked_at)
        return "gateway"

    def _end_judging(self, name: tuple[str, bytes], done: asyncio.Task[KeyKind]) -> None:
        del self._judging[name]
        if not done.cancelled():
            done.exception()  # which nobody may be left to hear of

    async def _ask_provider(
        self, stack: AsyncExitStack, who: Credentials, body: bytes, request_id: str
    ) -> GatewayAnswer:
        try:
            return await stack.enter_async_context(self._client.chat(who, body, request_id))
        except ValidationException as refusal:
            raise blame_service(refusal) from None

    def _choose_again(self, key: SelectedKey, who: Credentials, refusal: ChatApiException) -> Credentials:
        """As what a refused key is sent once more.

        Raises:
            ChatApiException: it is not.
        """
        if refusal.status == 401 and not who.provider_key:
            self._verdicts.forget(key)
        if key.source == "default" or who.provider_key:
            raise blame_service(refusal)
        if refusal.code != "invalid_key" or not self._takes_provider_keys:
            raise refusal
        self._verdicts.keep(key, "provider", time.monotonic())
        return self._add_payer(key)

    def _add_payer(self, key: SelectedKey) -> Credentials:
        """A provider's key, beside that which opens the gateway to it and, in free mode, pays where it is not used."""
        return Credentials(self._free_key if key.falls else self._own_key, key.key, alone=not key.falls)


def blame_service(refusal: ChatApiException) -> ChatApiException:
    """A refusal of the service's own key is no fault of the caller's."""
    return ConfigurationException("service_key_refused") if refusal.status == 401 else refusal
