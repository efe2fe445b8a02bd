"""A streamed chat completion of the gateway: its events, as they come in pieces of bytes. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from chat_api.exceptions.chat_exceptions import OpenAIClientException
from chat_api.external.refusals import build_refusal

_DONE = b"[DONE]"
# An event of one token has 300 bytes.
_MAX_EVENT_BYTES = 4 * 1024 * 1024


class StreamReader:
    """Reads one stream.

    Attributes:
        parts: the texts so far.
        usage: the tokens as the server counted them; empty until it says so.
        is_done: whether the stream's own end has come.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.usage: dict[str, Any] = {}
        self.model = ""
        self.is_done = False
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Take what came; returns the texts in it.

        Raises:
            OpenAIClientException: the stream says that it failed, or is none.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_EVENT_BYTES:
            raise OpenAIClientException("gateway_broken_answer")
        texts = [text for line in lines if line.startswith(b"data:") and (text := self._take(line[5:].strip()))]
        self.parts += texts
        return texts

    def _take(self, event: bytes) -> str:
        if event == _DONE:
            self.is_done = True
            return ""
        try:
            chunk = orjson.loads(event)
        except orjson.JSONDecodeError:
            raise OpenAIClientException("gateway_broken_answer") from None
        if not isinstance(chunk, dict):
            raise OpenAIClientException("gateway_broken_answer")
        if "error" in chunk:
            raise build_refusal(503, chunk, None)
        if usage := chunk.get("usage"):
            self.usage = usage
        choices = chunk.get("choices")
        if not choices:
            return ""
        self.model = chunk.get("model") or self.model
        text = (choices[0].get("delta") or {}).get("content")
        return text if isinstance(text, str) else ""
