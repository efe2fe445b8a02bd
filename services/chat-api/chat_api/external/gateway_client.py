"""The gateway, asked over pooled connections. Does I/O: HTTP, to the gateway alone.

Whatever goes wrong is one of ``exceptions``, without an address in it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from chat_api.exceptions.chat_exceptions import OpenAIClientException
from chat_api.external.refusals import build_refusal

_CHAT, _COUNT, _MODELS = "/v1/chat/completions", "/v1/responses/input_tokens", "/v1/models"
_CONNECT_S, _SHORT_S = 5.0, 10.0
_READ_BYTES = 256 * 1024
# Who a provider was asked for, where a caller's own key was sent.
_SOURCE = "x-gateway-provider-key"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks the gateway.

    Attributes:
        key: of the gateway.
        provider_key: the caller's own at a provider; empty for none.
        alone: whether nothing may be asked that this one does not pay for.
    """

    key: str
    provider_key: str = ""
    alone: bool = False

    def build_headers(self) -> dict[str, str]:
        """As the gateway reads them."""
        headers = {"authorization": f"Bearer {self.key}"}
        if self.provider_key:
            headers["x-provider-key"] = self.provider_key
        if self.alone:
            headers["x-provider-key-only"] = "true"
        return headers


class GatewayAnswer:
    """An answer whose head is there.

    Attributes:
        used_callers_key: whether a provider was asked with the caller's own key.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.used_callers_key = response.headers.get(_SOURCE) == "caller"

    async def read_json(self) -> Any:
        """The whole body.

        Raises:
            OpenAIClientException: it is no JSON, or broke off.
        """
        with name_failures():
            body = await self._response.read()
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise OpenAIClientException("gateway_broken_answer") from None

    async def read_pieces(self) -> AsyncIterator[bytes]:
        """The body, as it comes.

        Raises:
            OpenAIClientException: it broke off.
        """
        content = self._response.content
        while True:
            with name_failures():
                data = await content.readany()
            if not data:
                return
            yield data


class GatewayClient:
    """The connections to the gateway; opened in the loop that uses them.

    Args:
        url: base URL, without ``/v1``.
        ca_bundle: path of a PEM file of authorities beside the system's; empty for none.
    """

    def __init__(self, url: str, ca_bundle: str = "") -> None:
        self._url = url
        self._trust: ssl.SSLContext | bool = True
        if ca_bundle:
            self._trust = ssl.create_default_context()
            self._trust.load_verify_locations(ca_bundle)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; nothing is asked yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._trust, keepalive_timeout=50),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BYTES,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()

    @asynccontextmanager
    async def chat(self, who: Credentials, body: bytes, request_id: str) -> AsyncIterator[GatewayAnswer]:
        """Ask for a chat completion; gives the answer once its head is there.

        Raises:
            ChatApiException: the gateway refused, failed or cannot be reached.
        """
        headers = {**who.build_headers(), "content-type": "application/json", "x-request-id": request_id}
        with name_failures():
            response = await self._post(_CHAT, headers, body)
        try:
            if response.status != 200:
                with name_failures():
                    await _refuse(response)
            yield GatewayAnswer(response)
        finally:
            response.release()

    async def count(self, who: Credentials, model: str, messages: list[dict[str, str]]) -> int | None:
        """Tokens of the prompt that a model's template makes of these messages; None where that is a guess.

        Raises:
            ChatApiException: as ``chat``.
        """
        body = orjson.dumps({"model": model, "input": messages})
        headers = {**who.build_headers(), "content-type": "application/json"}
        with name_failures():
            async with asyncio.timeout(_SHORT_S):
                response = await self._post(_COUNT, headers, body)
                async with response:
                    if response.status != 200:
                        await _refuse(response)
                    found = orjson.loads(await response.read())
        if "x-gateway-warning" in response.headers:
            return None
        count = found.get("input_tokens") if isinstance(found, dict) else None
        return count if isinstance(count, int) else None

    async def list_models(self, key: str) -> list[dict[str, Any]]:
        """The models that a key may ask for, aliases too.

        Raises:
            ChatApiException: as ``chat``.
        """
        found = await self._get(f"{_MODELS}?aliases=true", key)
        data = found.get("data") if isinstance(found, dict) else None
        return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []

    async def describe_health(self, key: str) -> dict[str, Any]:
        """What the gateway says of its targets and slots.

        Raises:
            ChatApiException: as ``chat``.
        """
        found = await self._get("/health", key)
        return found if isinstance(found, dict) else {}

    async def check_ready(self) -> None:
        """Whether the gateway answers.

        Raises:
            OpenAIClientException: it does not.
        """
        await self._get("/health/readiness", "")

    async def _get(self, path: str, key: str) -> Any:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with name_failures():
            async with (
                asyncio.timeout(_SHORT_S),
                self._pool.get(self._url + path, headers=headers, allow_redirects=False, timeout=_TIMEOUT) as response,
            ):
                if response.status != 200:
                    await _refuse(response)
                return orjson.loads(await response.read())

    async def _post(self, path: str, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Send; once more where a pooled connection turns out to be closed, which is no failure of the gateway's."""
        for is_last in (False, True):
            try:
                return await self._pool.post(
                    self._url + path, data=body, headers=headers, allow_redirects=False, timeout=_TIMEOUT
                )
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if is_last:
                    raise
        raise AssertionError("unreachable")

    @property
    def _pool(self) -> aiohttp.ClientSession:
        assert self._session is not None, "open() comes first"
        return self._session


_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)


@contextmanager
def name_failures() -> Iterator[None]:
    """Name what the HTTP client raises."""
    try:
        yield
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError) as error:
        raise OpenAIClientException("gateway_broken_answer") from error
    except orjson.JSONDecodeError as error:
        raise OpenAIClientException("gateway_broken_answer") from error
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
        raise OpenAIClientException("gateway_unreachable") from error
    except TimeoutError as error:
        raise OpenAIClientException("gateway_timeout") from error
    except (aiohttp.ClientError, OSError) as error:
        raise OpenAIClientException("gateway_unreachable") from error


async def _refuse(response: aiohttp.ClientResponse) -> None:
    """Raise what a refusal of the gateway means."""
    text = await response.content.read(64 * 1024)
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        body = None
    given = response.headers.get("retry-after", "")
    raise build_refusal(response.status, body, float(given) if given.isdecimal() and len(given) < 8 else None)
