"""Requests in Anthropic's format for tests, and what they become."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.errors import RefusedError
from gateway.formats.messages import translate

from tests.anthropic_events import Json

WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object", "properties": {}}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Seoul"}}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
PIXEL_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def convert(content: Any = "hi", **fields: Any) -> Json:
    """The chat completion for a request with one user's message, or with ``messages``."""
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": content}], **fields}
    return translate(body)[0]


def converse(*turns: tuple[str, Any], **fields: Any) -> list[Json]:
    """The chat messages for a conversation."""
    messages = convert(messages=[{"role": role, "content": content} for role, content in turns], **fields)["messages"]
    assert isinstance(messages, list)
    return messages


def refusal(**fields: Any) -> str | None:
    """The field that a request is refused for; its name stands in the text too."""
    with pytest.raises(RefusedError) as caught:
        convert(**fields)
    error = caught.value.error
    assert error.status == 400
    assert error.param is not None
    assert error.message.startswith(error.param)
    return error.param
