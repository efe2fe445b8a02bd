"""Talks to llama.cpp's server: one that it starts inside this process (xllamacpp), or one at an address.

In: a GGUF file or a base URL. Out: answers, tokens and embeddings. Does network I/O on loopback.
"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 120
SLOTS = 8


@dataclass(frozen=True)
class Answer:
    """What came back, and whether the model ended it by itself."""

    text: str
    ended: bool


class Engine:
    """A llama.cpp server by its base URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def chat(self, messages: Sequence[dict[str, Any]], max_tokens: int = 400, **more: Any) -> Answer:
        """Return the answer at temperature 0."""
        reply = self._post("/v1/chat/completions", _chat_body(messages, max_tokens) | more)
        choice = reply["choices"][0]
        return Answer(choice["message"]["content"] or "", choice["finish_reason"] == "stop")

    def complete(self, prompt: str, max_tokens: int = 400) -> Answer:
        """Return the plain completion of a text at temperature 0, without a chat template."""
        body = {"model": "demo", "prompt": prompt, "temperature": 0, "max_tokens": max_tokens}
        choice = self._post("/v1/completions", body)["choices"][0]
        return Answer(choice["text"], choice["finish_reason"] == "stop")

    def stream(self, messages: Sequence[dict[str, Any]], max_tokens: int = 400) -> Iterator[str]:
        """Yield the pieces of a streamed answer."""
        body = _chat_body(messages, max_tokens) | {"stream": True}
        with self._open("/v1/chat/completions", body) as response:
            for line in response:
                data = line.decode("utf-8").removeprefix("data: ").strip()
                if data and data != "[DONE]":
                    yield json.loads(data)["choices"][0]["delta"].get("content") or ""

    def tokenize(self, text: str) -> list[int]:
        """Return the engine's own ids of a text, with no special tokens added."""
        body = {"content": text, "add_special": False, "parse_special": False}
        return list(self._post("/tokenize", body)["tokens"])

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector of length 1 for each text."""
        data = self._post("/v1/embeddings", {"model": "demo", "input": list(texts)})["data"]
        return [_unit(item["embedding"]) for item in sorted(data, key=lambda item: item["index"])]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        with self._open(path, body) as response:
            return json.load(response)

    def _open(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise SystemExit(f"{self.url}{path} answered {error.code}, expected 200: {said[:400]}") from error
        except OSError as error:
            problem = f"{self.url}{path} did not answer within {TIMEOUT_S} s: {error}"
            raise SystemExit(f"{problem}; is a llama.cpp server running there?") from error


class OwnEngine(Engine):
    """llama.cpp's server in this process; it goes when the process does."""

    def __init__(self, model: Path, *, embedding: bool = False) -> None:
        # Needed for this engine only, so that a check against an address does without it.
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_parallel = SLOTS
        params.n_ctx = 2048 * SLOTS
        params.n_threads_http = 2 * SLOTS
        # A second thread waits by spinning, which on a machine that others use, too, costs more than it gives.
        params.cpuparams.n_threads = 1
        params.port = 0
        params.use_jinja = True
        params.verbosity = 0
        if embedding:
            params.embedding = True
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        self._server = xllamacpp.Server(params)
        super().__init__(self._server.listening_address)


def closeness(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(first, second, strict=True))


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def _chat_body(messages: Sequence[dict[str, Any]], max_tokens: int) -> dict[str, Any]:
    return {"model": "demo", "messages": list(messages), "temperature": 0, "max_tokens": max_tokens}
