"""What providers and engines say when they are asked, judged; and what the gateway has seen of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from stackctl.core.health.probes import Status
from stackctl.core.stack.runtime import Answer

# A list of models takes a fifth of a second across an ocean; who needs longer is felt in every first token.
SLOW_S = 3.0
_QUOTED = 160
# Why there is no answer, as an HTTP client can tell it.
Failure = Literal["", "refused", "unknown name", "wrong certificate", "timed out", "proxy", "broken"]


class State(StrEnum):
    """What came of asking a provider."""

    REACHABLE = "reachable"
    SLOW = "slow"
    LOADING = "loading"
    LACKS_MODEL = "lacks model"
    REFUSED_KEY = "refused key"
    UNKNOWN_NAME = "unknown name"
    WRONG_CERTIFICATE = "wrong certificate"
    TIMED_OUT = "timed out"
    UNREACHABLE = "unreachable"
    FAILING = "failing"


_STATUSES = {
    State.REACHABLE: Status.OK,
    State.SLOW: Status.WARNING,
    State.LACKS_MODEL: Status.WARNING,
    State.LOADING: Status.LOADING,
}
_FAILED: Mapping[str, State] = {
    "unknown name": State.UNKNOWN_NAME,
    "wrong certificate": State.WRONG_CERTIFICATE,
    "timed out": State.TIMED_OUT,
    "broken": State.FAILING,
}


@dataclass(frozen=True, slots=True)
class ProviderReply:
    """What a provider answered, or why it did not.

    Attributes:
        status: HTTP status; 0 where nothing answered.
        failure: why nothing did.
        detail: the same in the system's words.
    """

    status: int
    body: str = ""
    failure: Failure = ""
    detail: str = ""
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GatewayView:
    """What the gateway has seen of one provider since it was started.

    Attributes:
        state: ``ok``, ``failing``, ``left out``, or ``unknown`` where it has not asked it yet.
        last_error: code of the last error, as in the table of outcomes; empty where there was none.
        last_error_at: when that was, in seconds since 1970.
    """

    state: str = "unknown"
    last_error: str = ""
    last_error_at: int = 0

    def describe(self) -> str:
        """The state and the last error in words."""
        if not self.last_error:
            return self.state
        at = datetime.fromtimestamp(self.last_error_at, UTC)
        return f"{self.state}; {self.last_error} at {at:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class ProviderResult:
    """One provider or engine.

    Attributes:
        kind: kind of provider as in `stack.yml`, or ``engine``.
        address: where it was asked.
        models: served names of its models.
        seen: what the gateway has seen of it; ``None`` where the gateway could not be asked.
        remark: what a person should know of the asking itself.
    """

    name: str
    kind: str
    address: str
    models: tuple[str, ...]
    state: State
    detail: str = ""
    hint: str = ""
    elapsed_s: float = 0.0
    seen: GatewayView | None = None
    remark: str = ""

    @property
    def status(self) -> Status:
        """Whether this is health, in health's terms."""
        return _STATUSES.get(self.state, Status.FAILED)


def judge_provider(
    result: ProviderResult, reply: ProviderReply, models: Sequence[str], key_name: str
) -> ProviderResult:
    """Judge the answer to the question for a provider's models.

    Args:
        result: the provider, with nothing known of it.
        models: its own names of the models that are served from it.
        key_name: variable that holds its key; empty where it has none.
    """
    judged = replace(result, elapsed_s=reply.elapsed_s)
    if not reply.status:
        return _judge_silence(judged, reply)
    if reply.status in (401, 403):
        hint = (
            f"set {key_name} in .env to a key of this provider" if key_name else "name its key as api_key in stack.yml"
        )
        return replace(judged, state=State.REFUSED_KEY, detail=f"answered {reply.status}", hint=hint)
    if reply.status in (404, 405):
        return _judge_speed(replace(judged, detail="answers, but has no list of models"))
    if reply.status != 200:
        detail = f"answered {reply.status}: {quote(reply.body)}"
        return replace(judged, state=State.FAILING, detail=detail, hint="try again, or ask whoever runs it")
    listed = read_models(reply.body)
    if listed is None:
        detail = f"answered something that is no list of models: {quote(reply.body)}"
        return replace(judged, state=State.FAILING, detail=detail, hint="check api_base in stack.yml")
    missing = [name for name in models if not _is_listed(name, listed)]
    if missing and listed:
        detail = f"does not list {', '.join(missing)}"
        return replace(
            judged, state=State.LACKS_MODEL, detail=detail, hint="check 'model' in stack.yml, or load it there"
        )
    return _judge_speed(replace(judged, detail=f"lists {len(listed)} model{'s' if len(listed) != 1 else ''}"))


def _judge_silence(result: ProviderResult, reply: ProviderReply) -> ProviderResult:
    hints = {
        "unknown name": "check api_base in stack.yml, and the name server of this machine",
        "wrong certificate": "set GATEWAY_CA_BUNDLE to the PEM file of the certificate authority",
        "timed out": "check api_base in stack.yml, a firewall, or HTTPS_PROXY",
        "proxy": "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        "broken": "check api_base in stack.yml",
    }
    hint = hints.get(reply.failure, "start it, or check api_base in stack.yml")
    state = _FAILED.get(reply.failure, State.UNREACHABLE)
    return replace(result, state=state, detail=reply.detail, hint=hint)


def _judge_speed(result: ProviderResult) -> ProviderResult:
    if result.elapsed_s <= SLOW_S:
        return replace(result, state=State.REACHABLE)
    detail = f"{result.detail}, after {result.elapsed_s:.1f} s"
    return replace(result, state=State.SLOW, detail=detail)


def judge_engine_answer(result: ProviderResult, answer: Answer) -> ProviderResult:
    """Judge an engine's own answer to whether it is ready."""
    judged = replace(result, elapsed_s=answer.elapsed_s)
    hint = f"run 'stackctl logs {result.name}'"
    if not answer.status:
        state = State.TIMED_OUT if "within" in answer.error else State.UNREACHABLE
        return replace(judged, state=state, detail=answer.error, hint=hint)
    if answer.status == 503:
        return replace(judged, state=State.LOADING, detail="loads its model")
    if answer.status != 200:
        return replace(judged, state=State.FAILING, detail=f"answered {answer.status}", hint=hint)
    return _judge_speed(replace(judged, detail="ready"))


def judge_token(result: ProviderResult, model: str, reply: ProviderReply) -> ProviderResult:
    """Add what came of one short request to one model; the worse of the two states stays."""
    if reply.status == 200 and _is_answer(reply.body):
        return replace(result, detail=f"{result.detail}; {model} answered in {reply.elapsed_s:.1f} s".lstrip("; "))
    said = quote(reply.body) if reply.status else reply.detail
    detail = f"{model}: {f'answered {reply.status}: ' if reply.status else ''}{said}"
    state = State.REFUSED_KEY if reply.status in (401, 403) else _FAILED.get(reply.failure, State.FAILING)
    hint = result.hint or "run 'stackctl providers' again, or ask whoever runs it"
    return replace(result, state=state, detail=detail, hint=hint)


def wants_new_limit(reply: ProviderReply) -> bool:
    """Whether a model refuses ``max_tokens`` under that name."""
    return reply.status == 400 and "max_completion_tokens" in reply.body


def read_models(body: str) -> frozenset[str] | None:
    """Names of a list of models; ``None`` where the text is no such list."""
    value = _parse(body)
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return None
    return frozenset(str(entry.get("id")) for entry in entries if isinstance(entry, dict))


def read_gateway_view(body: str) -> dict[str, GatewayView]:
    """Target to what the gateway has seen of it, from the answer of its ``/health``."""
    value = _parse(body)
    targets = value.get("targets") if isinstance(value, dict) else None
    entries = [entry for entry in targets if isinstance(entry, dict)] if isinstance(targets, list) else []
    return {
        str(entry.get("model")): GatewayView(
            str(entry.get("state") or "unknown"),
            str(entry.get("last_error") or ""),
            int(entry.get("last_error_at") or 0),
        )
        for entry in entries
    }


def join_views(views: Iterable[GatewayView]) -> GatewayView:
    """What the gateway has seen of several targets at one provider: the worst state, and the last of the errors."""
    order = ("left out", "failing", "ok", "unknown")
    known = list(views) or [GatewayView()]
    state = min((view.state for view in known), key=lambda word: order.index(word) if word in order else 0)
    latest = max(known, key=lambda view: view.last_error_at)
    return replace(latest, state=state)


def quote(text: str) -> str:
    """The beginning of what a server said, on one line."""
    flat = " ".join(text.split())
    return f"'{flat if len(flat) <= _QUOTED else flat[: _QUOTED - 1] + '…'}'"


def _is_listed(name: str, listed: frozenset[str]) -> bool:
    # Ollama lists a model with its tag, and takes it without where the tag is this one.
    return name in listed or f"{name}:latest" in listed


def _is_answer(body: str) -> bool:
    value = _parse(body)
    return isinstance(value, dict) and any(value.get(name) for name in ("choices", "content", "data", "results"))


def _parse(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
