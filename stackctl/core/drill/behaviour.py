"""How a stand-in provider answers one request, and the request and the steps of the answer as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["chat", "completions", "embeddings", "rerank", "messages", "count_tokens", "models", "unknown"]
# Where an answer stops coming, for as long as the client waits.
Hang = Literal["", "before_head", "before_first_token", "between_tokens"]
# done: as the format wants it. cut: the connection is closed in the middle of the body. reset: it is reset. unfinished:
# the body ends well and lacks what the format ends with. half_json: an event that is no JSON, and its end as the format
# wants it. error: an event (or an object) with an error in the middle of a status of 200. endless_line: a line that is
# never ended, up to ENDLESS_BYTES.
End = Literal["done", "cut", "reset", "unfinished", "half_json", "error", "endless_line"]
ENDLESS_BYTES = 256 << 20

_PATHS: Mapping[str, Format] = {
    "/chat/completions": "chat",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/rerank": "rerank",
    "/messages": "messages",
    "/messages/count_tokens": "count_tokens",
    "/chat/completions/input_tokens": "count_tokens",  # llama.cpp's
    "/models": "models",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one request is answered; the default is a right answer at once.

    Attributes:
        status: HTTP status.
        headers: further headers of the answer.
        body: bytes instead of an answer in the request's format; ``None`` takes that answer.
        is_raw: whether ``body`` is sent as it stands, without a head.
        content_type: type of the answer; empty takes what belongs to the format, or JSON for ``body``.
        pieces: the answer's words, an event each where it is streamed.
        has_content: whether the answer's content is a text; without, it is ``null``.
        prompt_tokens: what the prompt is said to have; ``cached_tokens`` of them come from a cache.
        counts_usage: whether a stream ends with the tokens that were used, where they are asked for.
        wait_head_s: seconds before the head.
        wait_first_s: seconds between the head and the first piece.
        wait_piece_s: seconds between two pieces.
        wait_end_s: seconds between the last piece and the end.
        hang: where the answer stops coming.
        end: how the answer ends.
        end_after: number of pieces that come before the end; ``None`` sends all.
        keeps_connection: whether the connection stays open for a next request.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    is_raw: bool = False
    content_type: str = ""
    pieces: tuple[str, ...] = ("one", " two", " three", " four")
    has_content: bool = True
    prompt_tokens: int = 7
    cached_tokens: int = 0
    counts_usage: bool = True
    wait_head_s: float = 0.0
    wait_first_s: float = 0.0
    wait_piece_s: float = 0.0
    wait_end_s: float = 0.0
    hang: Hang = ""
    end: End = "done"
    end_after: int | None = None
    keeps_connection: bool = True

    @property
    def text(self) -> str:
        """The whole answer of a request that is served well."""
        return "".join(self.pieces)

    @property
    def sent_pieces(self) -> tuple[str, ...]:
        """The pieces that come before the end."""
        return self.pieces if self.end_after is None else self.pieces[: self.end_after]


@dataclass(frozen=True, slots=True)
class StandInRequest:
    """One request as a provider sees it.

    Attributes:
        path: path without its query.
        headers: values by name in lower case.
        body: the bytes after the head, unpacked from chunks.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def format(self) -> Format:
        """The format that the path belongs to; Ollama's, Anthropic's and OpenAI's base addresses are all right."""
        return _PATHS.get(self.path.removeprefix("/v1"), "unknown")

    @property
    def fields(self) -> dict[str, Any]:
        """The body's fields; none where it is no JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def model(self) -> str:
        """Name of the model that is asked for; empty where none is."""
        return str(self.fields.get("model", ""))

    @property
    def is_streamed(self) -> bool:
        """Whether the answer is wanted piece by piece."""
        return self.fields.get("stream") is True


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait; ``inf`` seconds: until the client leaves."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; with ``resets``, so that the client sees it reset."""

    resets: bool = False


Step = Send | Pause | Close
