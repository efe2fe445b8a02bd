"""Ask a model one question through the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stackctl.core.settings_sources import check_secrets
from stackctl.core.stack import find_gateway_url
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects
from stackctl.operations.site import load_settings


def ask(effects: Effects, text: str, *, model: str, system: str, temperature: float | None) -> Iterator[str]:
    """Pieces of the answer as they come.

    Raises:
        ConfigError: an empty question, or no key.
        RuntimeFailure: no answer, or one that broke off.
    """
    resolved, _ = load_settings(effects)
    check_secrets(resolved.values, ".env")
    if not text.strip():
        raise ConfigError("The message is empty.", "give a message, or '-' and text on standard input")
    messages = [
        *([{"role": "system", "content": system}] if system else []),
        {"role": "user", "content": text},
    ]
    body: dict[str, Any] = {"model": model, "messages": messages}
    if temperature is not None:
        body["temperature"] = temperature
    settings = resolved.values
    url = f"{find_gateway_url(settings)}/v1/chat/completions"
    return effects.stream_chat(url, settings.gateway_key, body, float(settings.gateway_request_timeout_s))
