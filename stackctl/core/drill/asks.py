"""Requests that a drill sends through the gateway, one for each format, streamed or not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ClientFormat = Literal["chat", "completions", "messages", "responses", "embeddings", "rerank"]
PATHS: dict[ClientFormat, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "rerank": "/v1/rerank",
}
# Formats that can be asked for piece by piece.
STREAMED: tuple[ClientFormat, ...] = ("chat", "completions", "messages", "responses")
_QUESTION = "How far can you count?"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a client.

    Attributes:
        model: name that the client asks for.
    """

    format: ClientFormat
    is_streamed: bool
    model: str

    @property
    def path(self) -> str:
        """The gateway's path for it."""
        return PATHS[self.format]

    @property
    def body(self) -> dict[str, Any]:
        """The body, short and plain."""
        message = {"role": "user", "content": _QUESTION}
        fields: dict[ClientFormat, dict[str, Any]] = {
            "chat": {"messages": [message]},
            "completions": {"prompt": _QUESTION},
            "messages": {"messages": [message], "max_tokens": 16},
            "responses": {"input": _QUESTION},
            "embeddings": {"input": [_QUESTION, "And back?"]},
            "rerank": {"query": _QUESTION, "documents": ["to ten", "to four"]},
        }
        streamed = {"stream": True} if self.is_streamed else {}
        return {"model": self.model, **fields[self.format], **streamed}


def list_asks(model: str, *formats: ClientFormat) -> tuple[Ask, ...]:
    """Every request in these formats: whole, and streamed where the format can be."""
    return tuple(
        Ask(item, is_streamed, model)
        for item in formats
        for is_streamed in ((False, True) if item in STREAMED else (False,))
    )
