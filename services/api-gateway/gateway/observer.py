"""What LiteLLM tells us while it serves: why a call failed, and how many tokens an answer took. I/O: the log.

Named in the LiteLLM configuration as a callback. LiteLLM's own Prometheus callback counts some fifty metrics a
request; the two numbers needed here cost less.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth

from gateway.failures import CURRENT_FAILURE
from gateway.observe.logs import PROMPTS_LOGGER
from gateway.observe.metrics import count_tokens

_PROMPTS = logging.getLogger(PROMPTS_LOGGER)


class Observer(CustomLogger):  # type: ignore[misc]  # untyped where LiteLLM is not installed
    """The callbacks that the gateway needs; LiteLLM's other callbacks keep doing nothing."""

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: UserAPIKeyAuth,
        traceback_str: str | None = None,
    ) -> None:
        """Leave the exception to the gate, which answers the client."""
        if failure := CURRENT_FAILURE.get(None):
            failure.exception = original_exception

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Count the tokens of a finished answer, and log it where the operator asked for that."""
        payload = kwargs.get("standard_logging_object")
        if not payload:
            return
        model = payload.get("model_group") or ""
        count_tokens(model, payload.get("prompt_tokens") or 0, payload.get("completion_tokens") or 0)
        if _PROMPTS.isEnabledFor(logging.INFO):
            _PROMPTS.info("model=%s asked=%s answered=%s", model, payload.get("messages"), payload.get("response"))


observer = Observer()
