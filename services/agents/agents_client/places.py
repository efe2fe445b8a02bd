"""Where the agents and the gateway are: arguments, and the environment where there are none. Reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum

DEFAULT_GATEWAY, DEFAULT_AGENTS, DEFAULT_MODEL = "http://127.0.0.1:8000", "http://127.0.0.1:5602", "local-chat"


class LLMProvider(StrEnum):
    """Who answers. Each is a model of the gateway: where the company's API or Ollama are, and what is asked when one of
    them fails, is the gateway's to know (``stack.yml``, or the same names in ``.env``)."""

    GATEWAY = "local-chat"
    INTERNAL = "internal-chat"
    OLLAMA = "ollama-chat"


@dataclass(frozen=True, slots=True)
class LLMConfig:
    """What a client asks, with which key.

    Attributes:
        base_url: the gateway's base, with or without ``/v1``; empty for ``GATEWAY_URL``.
        api_key: a key of the gateway; empty for ``GATEWAY_KEY``.
        model: the gateway's name of a model; empty for the provider's.
        timeout_s: seconds for one answer.
        temperature: empty for the route's own.
    """

    provider: LLMProvider = LLMProvider.GATEWAY
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    model: str = ""
    timeout_s: float = 600.0
    temperature: float | None = None

    @property
    def gateway_url(self) -> str:
        """The base without ``/v1``."""
        url = self.base_url or os.environ.get("GATEWAY_URL") or DEFAULT_GATEWAY
        return url.rstrip("/").removesuffix("/v1")

    @property
    def key(self) -> str:
        """The key that is presented."""
        return self.api_key or os.environ.get("GATEWAY_KEY", "")

    @property
    def served_model(self) -> str:
        """The name that the gateway is asked for."""
        return self.model or self.provider.value
