"""Ask a model one question through the gateway.

In: a question. Out: pieces of the answer. Does I/O through its effects: HTTP to the gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stackctl.core.health.probes import list_model_names
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import check_secrets
from stackctl.core.stack.runtime import ChatPiece
from stackctl.errors import ConfigError, suggest_nearest
from stackctl.operations.effects import Effects, Network
from stackctl.operations.site.load_settings import load_settings


def ask(
    effects: Effects, text: str, *, model: str, system: str, max_tokens: int | None, temperature: float | None
) -> Iterator[ChatPiece]:
    """Ask one question; the pieces of the answer as they come.

    Raises:
        ConfigError: the question is empty, there is no key, or the model is not served.
        RuntimeFailure: no answer came, or it broke off.
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
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    settings = resolved.values
    _check_model(effects.network, settings, model)
    url = f"{find_gateway_url(settings)}/v1/chat/completions"
    return effects.network.stream_chat(url, settings.gateway_key, body, float(settings.gateway_request_timeout_s))


def _check_model(network: Network, settings: Settings, model: str) -> None:
    """Refuse a model that the gateway does not list; where the gateway does not answer, the question itself tells."""
    answer = network.fetch(f"{find_gateway_url(settings)}/v1/models", key=settings.gateway_key, timeout_s=5.0)
    names = list_model_names(answer) if answer.status == 200 else []
    if names and model not in names:
        hint = suggest_nearest(model, names) or f"served are: {', '.join(names)}"
        raise ConfigError(f"'{model}' is no model that the gateway serves.", hint)
