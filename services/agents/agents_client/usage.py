"""What has been used: counted here call by call, and as the gateway has it for the key. Does I/O: HTTP."""

from __future__ import annotations

from typing import Any

import httpx2

from agents_client.http import send


class LLMUsageTracker:
    """Counts what this client has used.

    Attributes:
        request_count: answers that were counted.
        total_tokens: their tokens, of prompts and answers.
    """

    def __init__(self, gateway: httpx2.AsyncClient | None = None) -> None:
        self.request_count = 0
        self.total_tokens = 0
        self._gateway = gateway

    async def track_request(self, response: object) -> None:
        """Count an answer: an object or a mapping with ``usage``, as OpenAI's format has it."""
        self.request_count += 1
        usage = response.get("usage") if isinstance(response, dict) else getattr(response, "usage", None)
        total = usage.get("total_tokens") if isinstance(usage, dict) else getattr(usage, "total_tokens", 0)
        self.total_tokens += int(total or 0)

    async def load_report(self) -> dict[str, Any]:
        """What the gateway has recorded for the key, of every program that uses it: its route ``/usage``.

        Raises:
            AgentsError: the gateway does not answer, or does not know the key.
        """
        if self._gateway is None:
            raise ValueError("this tracker belongs to no LLMManager; use the one of LLMManager(...).usage")
        report: dict[str, Any] = await send(self._gateway, "GET", "/usage")
        return report
