"""How many tokens a request is expected to take, before its server has counted them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.catalog.values import Route
from gateway.formats.call import Call
from gateway.queue.bounds import Cost

# Of English text and code, with the JSON around it; Korean has fewer.
_BYTES_PER_TOKEN = 4
# Where a client does not say how long an answer may be.
_USUAL_ANSWER_TOKENS = 512
_ANSWER_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
# Formats that answer with tokens; embeddings and rankings have none.
_WRITING_FORMATS = frozenset({"chat", "completions", "messages", "responses"})
# A smaller request has no picture worth looking for.
_MEDIA_BYTES = 64 * 1024
_TOKENS_PER_MEDIUM = 1000
_MEDIA_TYPES = frozenset({"image_url", "image", "input_image", "input_audio", "file", "input_file", "document"})


def estimate_cost(call: Call, route: Route) -> Cost:
    """What a request is expected to take: its prompt by its size, its answer by what its client allows.

    Counting the tokens of a prompt takes no token itself.
    """
    if call.format.endswith("_count"):
        return Cost()
    size_bytes, media = call.size_bytes, 0
    if size_bytes > _MEDIA_BYTES:
        sizes = list(_list_media(call.body.get("messages") or call.body.get("input")))
        size_bytes, media = size_bytes - sum(sizes), len(sizes)
    prompt = max(1, size_bytes // _BYTES_PER_TOKEN + media * _TOKENS_PER_MEDIUM)
    if call.format not in _WRITING_FORMATS:
        return Cost(prompt)
    said = _find_most(call.body) or _find_most(route.defaults)
    return Cost(prompt, (said or _USUAL_ANSWER_TOKENS) * call.answers, said is not None)


def _find_most(fields: Mapping[str, Any]) -> int | None:
    said = (fields.get(name) for name in _ANSWER_FIELDS)
    return next((value for value in said if isinstance(value, int) and value > 0), None)


def _list_media(value: Any) -> list[int]:
    """The sizes of the pictures and files in the parts of messages, in bytes: their base64 is no text."""
    if not isinstance(value, list):
        return []
    sizes = []
    for item in value:
        if not isinstance(item, dict):
            continue
        if item.get("type") in _MEDIA_TYPES:
            sizes.append(_measure(item))
        else:
            sizes += _list_media(item.get("content"))
    return sizes


def _measure(value: Any) -> int:
    """The length of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    return sum(map(_measure, value.values())) if isinstance(value, dict) else 0
