"""Ask the gateway with the key of a request. Does I/O through the client.

A caller's key is tried as the gateway's own. Where the operator allows providers' keys and the gateway does not know
it, it goes to the provider alone, in a header of its own, and the gateway is asked with the service's key.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from chat_api.dto.response import KeySource
from chat_api.exceptions.chat_exceptions import (
    ChatApiException,
    ConfigurationException,
    OpenAIClientException,
    ValidationException,
)
from chat_api.external.gateway_client import Credentials, GatewayAnswer, GatewayClient
from chat_api.service.keys import SelectedKey, hash_key

# How long a key is taken for a provider's without asking the gateway again.
_STRANGER_S, _MOST_STRANGERS = 60.0, 1000


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that has begun, and whose key it came by."""

    answer: GatewayAnswer
    source: KeySource


class Asker:
    """Asks with the right key.

    Args:
        own_key: the service's; empty for none.
        takes_provider_keys: whether a key that the gateway does not know may be a provider's.
    """

    def __init__(self, client: GatewayClient, own_key: str, takes_provider_keys: bool) -> None:
        self._client, self._own_key = client, own_key
        self._takes_provider_keys = takes_provider_keys and bool(own_key)
        self._strangers: OrderedDict[bytes, float] = OrderedDict()

    def choose(self, key: SelectedKey) -> Credentials:
        """As what a key is sent, by what is known of it."""
        if key.source == "user" and self._is_stranger(key.key):
            return Credentials(self._own_key, key.key)
        return Credentials(key.key)

    @asynccontextmanager
    async def open(self, key: SelectedKey, free_mode: bool, body: bytes, request_id: str) -> AsyncIterator[Opened]:
        """Ask for a completion; gives the answer once its head is there.

        Raises:
            ChatApiException: it was refused or failed. In normal mode also where no key of the caller's was used.
        """
        async with AsyncExitStack() as stack:
            who = self.choose(key)
            try:
                answer = await stack.enter_async_context(self._client.chat(who, body, request_id))
            except ValidationException as refusal:
                who = self._choose_again(key, who, refusal)
                answer = await self._ask_provider(stack, who, body, request_id)
            source = key.source
            if who.provider_key and not answer.used_callers_key:
                if not free_mode:
                    raise OpenAIClientException("provider_key_not_used")
                source = "default"
            yield Opened(answer, source)

    async def check(self, key: SelectedKey) -> None:
        """Whether a key opens anything: the gateway's must be valid now, a provider's cannot be told.

        Raises:
            ChatApiException: it is not valid, or the gateway does not answer.
        """
        who = self.choose(key)
        if who.provider_key:
            return
        try:
            await self._client.list_models(who.key)
        except ValidationException as refusal:
            self._choose_again(key, who, refusal)

    async def _ask_provider(
        self, stack: AsyncExitStack, who: Credentials, body: bytes, request_id: str
    ) -> GatewayAnswer:
        try:
            return await stack.enter_async_context(self._client.chat(who, body, request_id))
        except ValidationException as refusal:
            raise _blame_service(refusal) from None

    def _choose_again(self, key: SelectedKey, who: Credentials, refusal: ChatApiException) -> Credentials:
        """As what a refused key is sent once more.

        Raises:
            ChatApiException: it is not.
        """
        if key.source == "default" or who.provider_key:
            raise _blame_service(refusal)
        if refusal.code != "invalid_key" or not self._takes_provider_keys:
            raise refusal
        self._strangers[hash_key(key.key)] = time.monotonic() + _STRANGER_S
        while len(self._strangers) > _MOST_STRANGERS:
            self._strangers.popitem(last=False)
        return Credentials(self._own_key, key.key)

    def _is_stranger(self, key: str) -> bool:
        return bool(self._strangers) and self._strangers.get(hash_key(key), 0.0) > time.monotonic()


def _blame_service(refusal: ChatApiException) -> ChatApiException:
    """A refusal of the service's own key is no fault of the caller's."""
    return ConfigurationException("service_key_refused") if refusal.status == 401 else refusal
