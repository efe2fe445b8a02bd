"""The schema that an engine holds a model to. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

# What says nothing about form: the prompt tells the model what a field means.
_WORDS = frozenset({"title", "description", "default"})


def build_response_format(kind: type[BaseModel]) -> dict[str, Any]:
    """``response_format`` of a request whose answer has to be such a value.

    Source: OpenAI, structured outputs; llama.cpp makes a grammar of it (``json-schema-to-grammar``), lengths included.
    """
    schema = _strip(kind.model_json_schema())
    return {"type": "json_schema", "json_schema": {"name": kind.__name__, "strict": True, "schema": schema}}


def _strip(node: Any, is_names: bool = False) -> Any:
    """Without words; ``is_names`` where the keys are names of fields, one of which may be ``title``."""
    if isinstance(node, list):
        return [_strip(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _strip(value, is_names=not is_names and key in ("properties", "$defs"))
        for key, value in node.items()
        if is_names or key not in _WORDS
    }
