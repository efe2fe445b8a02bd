"""The gateway, the only thing that the agents ask. Does I/O: HTTP.

In: messages and a caller's key. Out: what a model wrote, or a ``ProblemError`` that says why there is nothing, without
a word of the gateway's answer: that may repeat what was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from agents.problems import ProblemError

# Enough for the longest valid answer in Korean; where a model's context is smaller, its server stops there.
MAX_TOKENS = 4096
_READY_TIMEOUT_S = 3.0
_CONNECT_TIMEOUT_S = 5.0
_KEY_TIMEOUT_S = 10.0
# So many keys are asked for at once; made-up ones wait for each other and not for places.
_KEYS_AT_ONCE = 16
_REFUSALS = {
    401: "key_refused",
    403: "not_allowed",
    404: "unknown_model",
    413: "too_long_for_model",
    429: "limit_reached",
}
_FORMAT_CODES = frozenset({"invalid_request", "unsupported_parameter", "invalid_parameter"})


class FormatRefusedError(Exception):
    """The model's server, or the gateway for it, does not take a schema."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model.

    Attributes:
        is_cut: whether it ended at a limit of tokens.
    """

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    is_cut: bool


class Gateway:
    """Connections to the gateway, kept for the service's life.

    Args:
        url: its base.
        timeout_s: seconds that one answer may take.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        timeout = httpx2.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=32)
        # The gateway is the stack's own: no proxy of the environment stands between.
        self._client = httpx2.AsyncClient(base_url=url, timeout=timeout, limits=limits, trust_env=False)
        self._asking = asyncio.Semaphore(_KEYS_AT_ONCE)

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    async def is_ready(self) -> bool:
        """Whether the gateway says that it answers requests."""
        try:
            answer = await self._client.get("/health/readiness", timeout=_READY_TIMEOUT_S)
        except httpx2.HTTPError:
            return False
        return answer.status_code == 200

    async def check_key(self, key: str) -> None:
        """Ask whether it knows a key; where it does not say, the call itself will tell.

        Raises:
            ProblemError: it does not know it.
        """
        async with self._asking:
            try:
                headers = {"authorization": f"Bearer {key}"}
                answer = await self._client.get("/v1/models", headers=headers, timeout=_KEY_TIMEOUT_S)
            except httpx2.HTTPError:
                return
        if answer.status_code == 401:
            raise ProblemError("key_refused")

    async def complete(
        self,
        key: str,
        model: str,
        messages: Sequence[Mapping[str, str]],
        response_format: Mapping[str, Any] | None,
        request_id: str,
    ) -> Completion:
        """Ask a model once.

        Raises:
            FormatRefusedError: 400, and a schema was sent.
            ProblemError: there is no answer for another reason.
        """
        body: dict[str, Any] = {"model": model, "messages": list(messages), "max_tokens": MAX_TOKENS}
        if response_format:
            body["response_format"] = response_format
        headers = {"authorization": f"Bearer {key}", "x-request-id": request_id}
        try:
            answer = await self._client.post("/v1/chat/completions", json=body, headers=headers)
        except httpx2.TimeoutException:
            raise ProblemError("timed_out") from None
        except httpx2.HTTPError:
            raise ProblemError("gateway_unreachable", retry_after="5") from None
        if answer.status_code != 200:
            raise _read_refusal(answer, has_format=response_format is not None)
        return _read_completion(answer)


def _read_refusal(answer: httpx2.Response, has_format: bool) -> Exception:
    status, code = answer.status_code, _read_code(answer)
    if code == "context_length_exceeded":
        return ProblemError("too_long_for_model")
    if status == 400 and has_format and code in _FORMAT_CODES:
        return FormatRefusedError()
    if status == 504:
        return ProblemError("timed_out")
    if status == 400:
        return ProblemError("model_refused")
    retry_after = answer.headers.get("retry-after", "")
    return ProblemError(_REFUSALS.get(status, "model_unavailable"), retry_after if retry_after.isdigit() else "")


def _read_code(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _read_completion(answer: httpx2.Response) -> Completion:
    try:
        body = answer.json()
        choice = body["choices"][0]
        usage = body.get("usage") or {}
        return Completion(
            text=str(choice["message"].get("content") or ""),
            model=str(body.get("model") or ""),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            is_cut=choice.get("finish_reason") == "length",
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ProblemError("model_unavailable") from None
