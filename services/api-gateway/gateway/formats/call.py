"""One checked request as routes and lanes see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.state.values import NOBODY, Caller


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        format: the client's format: ``chat``, ``completions``, ``embeddings``, ``rerank``, ``messages``,
            ``messages_count``, ``responses`` or ``responses_count``.
        body: the request's fields, all of them known to the format; never changed.
        asked: name of the model as the client wrote it, which every answer repeats.
        caller: who asks.
        headers: request headers for the server, such as ``anthropic-beta``; names in lower case.
        size_bytes: of the body as JSON, by which its tokens are estimated before a server has counted them.
        provider_key: the caller's own key for the provider, never kept; empty for the gateway's.
        is_on_own_key: whether nothing may be asked that this key does not pay for.
    """

    format: str
    body: Mapping[str, Any]
    asked: str
    request_id: str
    caller: Caller = NOBODY
    headers: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int = 0
    provider_key: str = field(default="", repr=False)
    is_on_own_key: bool = False

    @property
    def choices(self) -> int:
        """Answers to each prompt."""
        wanted = self.body.get("n")
        return wanted if isinstance(wanted, int) and wanted > 0 else 1

    @property
    def answers(self) -> int:
        """Answers that are written at the same time, and slots that they take."""
        prompts = self.body.get("prompt")
        if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
            return self.choices * len(prompts)
        return self.choices

    @property
    def tracing(self) -> Mapping[str, str]:
        """The header by which a server's log names the same request as ours."""
        return {"x-request-id": self.request_id}

    @property
    def wants_stream(self) -> bool:
        """Whether the client wants the answer piece by piece."""
        return self.body.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for the usage at the end of a stream."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True
