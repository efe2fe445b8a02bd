"""Plain completions through the gateway. Does I/O: HTTP."""

from __future__ import annotations

from typing import Any

from agents_client.errors import AgentsError
from agents_client.http import open_client, send
from agents_client.places import LLMConfig
from agents_client.usage import LLMUsageTracker


class LLMManager:
    """A thin client of the gateway, which has the fallbacks, the retries and the limits.

    Attributes:
        usage: what this client has used.
    """

    def __init__(self, primary_config: LLMConfig | None = None) -> None:
        self.config = primary_config or LLMConfig()
        self._client = open_client(self.config.gateway_url, self.config.key, self.config.timeout_s)
        self.usage = LLMUsageTracker(self._client)

    async def simple_completion(self, prompt: str, system_message: str = "") -> str:
        """The model's answer to one message.

        Raises:
            AgentsError: there is none; ``code`` is the gateway's.
        """
        messages = [{"role": "system", "content": system_message}] if system_message else []
        messages.append({"role": "user", "content": prompt})
        body: dict[str, Any] = {"model": self.config.served_model, "messages": messages}
        if self.config.temperature is not None:
            body["temperature"] = self.config.temperature
        answer = await send(self._client, "POST", "/v1/chat/completions", body)
        await self.usage.track_request(answer)
        try:
            return str(answer["choices"][0]["message"]["content"] or "")
        except (LookupError, TypeError):
            raise AgentsError("the gateway answered without a choice", "broken_answer", 200) from None

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()
