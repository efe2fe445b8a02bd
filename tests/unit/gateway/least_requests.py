"""The least that a request of each format holds, and what the gate makes of more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from gateway.errors import ApiError, RefusedError
from gateway.policy.fields import check_fields

TALK = [{"role": "user", "content": "hi"}]
LEAST: Mapping[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": TALK},
    "completions": {"model": "m", "prompt": "hi"},
    "embeddings": {"model": "m", "input": "hi"},
    "rerank": {"model": "m", "query": "hi", "documents": ["a"]},
    "messages": {"model": "m", "messages": TALK, "max_tokens": 9},
    "messages_count": {"model": "m", "messages": TALK},
    "responses": {"model": "m", "input": "hi"},
    "responses_count": {"model": "m", "input": "hi"},
}


def refuse(request_format: str, **fields: Any) -> ApiError:
    with pytest.raises(RefusedError) as caught:
        check_fields(request_format, {**LEAST[request_format], **fields})
    return caught.value.error


def keep(request_format: str, **fields: Any) -> dict[str, Any]:
    """What goes on beside the least that the format needs."""
    kept = check_fields(request_format, {**LEAST[request_format], **fields})
    assert {name: kept.pop(name) for name in LEAST[request_format]} == LEAST[request_format]
    return kept
