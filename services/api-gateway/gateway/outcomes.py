"""What a try at one target can come to, and what follows from it: one table. Pure.

The reference page docs/reference/outcomes.md is written from ``OUTCOMES``; each row has a test of the running gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Blame(Enum):
    """Whose doing a failure is."""

    CLIENT = "the request"
    GATEWAY = "the gateway's key or configuration"
    SERVER = "the model's server"
    QUEUE = "nobody: there is no room now"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way for a try to fail.

    Attributes:
        code: stable word for programs and for the log.
        seen: what the gateway saw of the server.
        status: HTTP status for the client when no other target answers.
        text: what the client is told; ``{model}`` is the name that it asked for.
    """

    code: str
    seen: str
    blame: Blame
    status: int
    text: str

    @property
    def is_retried(self) -> bool:
        """Whether the same target is tried again."""
        return self.blame is Blame.SERVER

    @property
    def falls_back(self) -> bool:
        """Whether the next target is tried."""
        return self.blame is not Blame.CLIENT


def _refused(code: str, seen: str, text: str) -> Outcome:
    return Outcome(code, seen, Blame.CLIENT, 400, text)


def _failed(code: str, seen: str, status: int, text: str) -> Outcome:
    return Outcome(code, seen, Blame.SERVER, status, text)


INVALID_REQUEST = _refused("invalid_request", "400, 413, 415, 422", "Model '{model}' does not accept this request.")
CONTEXT_LENGTH_EXCEEDED = _refused(
    "context_length_exceeded", "400 for a prompt that is too long", "The prompt is longer than model '{model}' takes."
)
UNSUPPORTED_CONTENT = _refused(
    "unsupported_content",
    "500 of llama.cpp for what its model cannot read",
    "Model '{model}' cannot read this content.",
)
PROVIDER_REFUSED_KEY = Outcome(
    "provider_refused_key", "401, 403", Blame.GATEWAY, 502, "The server of model '{model}' refused the gateway's key."
)
PROVIDER_LACKS_MODEL = Outcome(
    "provider_lacks_model", "404, 405", Blame.GATEWAY, 502, "The server of model '{model}' does not know it."
)
RATE_LIMITED = _failed("provider_rate_limited", "429", 429, "The server of model '{model}' wants fewer requests.")
MODEL_LOADING = _failed("model_loading", "503 while a model loads", 503, "Model '{model}' is still loading.")
SERVER_ERROR = _failed("upstream_error", "408, 5xx, any other status", 503, "The server of model '{model}' failed.")
UNREACHABLE = _failed(
    "upstream_unreachable", "refused, reset, name unknown", 503,
    "The server of model '{model}' cannot be reached; it may be starting or stopped.",
)  # fmt: skip
CERTIFICATE_WRONG = _failed(
    "upstream_certificate", "a certificate that is not trusted", 503,
    "The server of model '{model}' shows a certificate that the gateway does not trust.",
)  # fmt: skip
TIMED_OUT = _failed("upstream_timeout", "a time-out", 504, "The server of model '{model}' did not answer in time.")
BROKEN_ANSWER = _failed(
    "upstream_broken_answer", "HTML, null, no choices, no terminal event, JSON that ends half-way", 503,
    "The server of model '{model}' sent a broken answer.",
)  # fmt: skip
LEFT_OUT = Outcome(
    "upstream_left_out", "nothing: it failed too often a moment ago", Blame.QUEUE, 503,
    "The server of model '{model}' failed too often and is left out for a moment.",
)  # fmt: skip
LIMIT_REACHED = Outcome(
    "rate_limit_exceeded", "nothing: the model's own limit is reached", Blame.QUEUE, 429,
    "Model '{model}' has reached its limit of requests or tokens.",
)  # fmt: skip
LIMITS_AWAY = Outcome(
    "limits_unavailable", "nothing: limits cannot be counted, since Redis does not answer", Blame.QUEUE, 503,
    "Limits of model '{model}' cannot be counted now, and it is not asked meanwhile.",
)  # fmt: skip
QUEUE_FULL = Outcome(
    "queue_full", "nothing: the queue is full, or the wait in it too long", Blame.QUEUE, 503,
    "Every slot of model '{model}' is taken, and too many requests wait.",
)  # fmt: skip

OUTCOMES = (
    INVALID_REQUEST,
    CONTEXT_LENGTH_EXCEEDED,
    UNSUPPORTED_CONTENT,
    PROVIDER_REFUSED_KEY,
    PROVIDER_LACKS_MODEL,
    RATE_LIMITED,
    MODEL_LOADING,
    SERVER_ERROR,
    UNREACHABLE,
    CERTIFICATE_WRONG,
    TIMED_OUT,
    BROKEN_ANSWER,
    LEFT_OUT,
    LIMIT_REACHED,
    LIMITS_AWAY,
    QUEUE_FULL,
)


class TargetError(Exception):
    """One try at a target failed.

    Attributes:
        text: sentence for the client instead of the outcome's own; with ``{model}`` as there.
        param: field of the request that the server named.
        retry_after_s: how long the server asked to wait.
    """

    def __init__(
        self, outcome: Outcome, *, text: str = "", param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome
        self.text = text
        self.param = param
        self.retry_after_s = retry_after_s
