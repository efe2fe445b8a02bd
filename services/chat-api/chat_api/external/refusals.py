"""What the gateway's errors mean for a client of ours. Pure.

Its sentences are not passed on: only its codes, for which this service has words of its own.
"""

from __future__ import annotations

from typing import Any, Final

from chat_api.exceptions.chat_exceptions import ChatApiException, OpenAIClientException, ValidationException

# The gateway's code to ours, where they differ.
_CODES: Final = {
    "invalid_api_key": "invalid_key",
    "provider_rate_limited": "rate_limit_exceeded",
    "upstream_timeout": "gateway_timeout",
    "upstream_broken_answer": "gateway_broken_answer",
    "queue_full": "model_busy",
    "upstream_left_out": "model_busy",
    "no_local_target": "model_not_allowed",
    "request_too_large": "body_too_large",
    "invalid_provider_key": "invalid_key",
}
_SAME: Final = frozenset(
    (
        *("key_expired", "model_not_found", "model_not_allowed", "wrong_model_mode", "model_loading"),
        *("context_length_exceeded", "rate_limit_exceeded", "budget_exceeded"),
        *("provider_key_refused", "provider_key_not_taken", "provider_key_needed"),
    )
)
# The caller's doing, as a wrong field is.
_VALIDATION: Final = frozenset({"invalid_key", "key_expired", "body_too_large"})


def build_refusal(status: int, body: Any, retry_after_s: float | None) -> ChatApiException:
    """The failure that an answer of the gateway is.

    Args:
        status: HTTP status of the answer.
        body: its JSON; None where it has none.
    """
    error = body.get("error") if isinstance(body, dict) else None
    given = error.get("code") if isinstance(error, dict) else None
    named = given if isinstance(given, str) else ""
    code = named if named in _SAME else _CODES.get(named) or _choose(status)
    kind = ValidationException if code in _VALIDATION else OpenAIClientException
    return kind(code, retry_after_s=retry_after_s)


def _choose(status: int) -> str:
    if status == 401:
        return "invalid_key"
    if status == 429:
        return "rate_limit_exceeded"
    if status == 504:
        return "gateway_timeout"
    return "gateway_refused" if 400 <= status < 500 else "gateway_failed"
