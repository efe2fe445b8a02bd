"""Which conversion serves which format, loaded when it is needed first. Pure but for importing.

Messages are converted by this package. Responses, and servers that speak Anthropic's format, are LiteLLM's to convert;
importing it costs two seconds, so ``load`` is called at start where the configuration needs it.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import ApiError, RefusedError
from gateway.formats.client import ClientAnswer


def translate(client_format: str, fields: dict[str, Any]) -> tuple[dict[str, Any], ClientAnswer]:
    """A request's fields as those of a chat completion, and the writer of its answer.

    Raises:
        RefusedError: 400 for what cannot be honoured, naming the field.
    """
    raise RefusedError(ApiError(400, "unsupported_format", f"Requests of the format {client_format} are not served."))


def find_dialect() -> Any:
    """The conversion of chat completions to Anthropic's format."""
    raise RefusedError(ApiError(400, "unsupported_format", "Anthropic's servers are not served."))
