"""Real answers as proof: the request that shows a model works, and what its answer says. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from stackctl.core.gateway.config import GatewayConfig
from stackctl.core.health.chat_events import list_deltas, parse_events, split_lines
from stackctl.core.health.probes import ProbeResult, Status, read_json
from stackctl.core.models.served import ServedModel
from stackctl.core.stack.names import GATEWAY
from stackctl.core.stack.runtime import Answer
from stackctl.errors import RuntimeFailure

# For models whose answers nobody knows: any text proves that tokens were computed.
OPEN_QUESTION = "Reply with the single word: ready"
OPEN_ANSWER_TOKENS = 16
KNOWN_ANSWER_TOKENS = 64

# Formats beside chat, which several formats ask for, by what a model is for.
_FORMATS = {"embedding": "embeddings", "rerank": "rerank"}
LAYERS = {"chat": "completion", "embedding": "embeddings", "rerank": "rerank"}


def judge_completion(model: ServedModel, answer: Answer, known_answer: str) -> ProbeResult:
    """Judge a chat model's answer: the demo model's must be the known one, any other's a text that is not empty."""
    text = _read_completion(answer)
    if text is None:
        return _judge_refusal("completion", model, answer)
    if model.is_demo and text != known_answer:
        detail = f"answered {_shorten(text)}; expected {_shorten(known_answer)}"
        return ProbeResult(
            "completion", model.served_name, Status.FAILED, detail, "run 'stackctl restart'", answer.elapsed_s
        )
    if not text:
        return ProbeResult(
            "completion",
            model.served_name,
            Status.FAILED,
            "answered nothing; expected text",
            f"run 'stackctl logs {model.service}'",
            answer.elapsed_s,
        )
    shown = f"known answer {_shorten(text)}" if model.is_demo else f"answered {_shorten(text)}"
    return ProbeResult("completion", model.served_name, Status.OK, shown, elapsed_s=answer.elapsed_s)


def judge_embedding(model: ServedModel, answer: Answer) -> ProbeResult:
    """Judge an embedding model's answer: it must be a vector of finite numbers that are not all zero."""
    body = read_json(answer) if answer.status == 200 else None
    if body is None:
        return _judge_refusal("embeddings", model, answer)
    try:
        vector = [float(number) for number in body["data"][0]["embedding"]]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        vector = []
    if vector and all(map(math.isfinite, vector)) and any(vector):
        note = " (demo model)" if model.is_demo else ""
        return ProbeResult(
            "embeddings",
            model.served_name,
            Status.OK,
            f"{len(vector)} dimensions{note}",
            elapsed_s=answer.elapsed_s,
        )
    return ProbeResult(
        "embeddings",
        model.served_name,
        Status.FAILED,
        "no usable vector came back",
        f"run 'stackctl logs {model.service}'",
        answer.elapsed_s,
    )


def judge_rerank(model: ServedModel, answer: Answer) -> ProbeResult:
    """Judge a rerank model's answer: it must have a score for each document."""
    body = read_json(answer) if answer.status == 200 else None
    if body is None:
        return _judge_refusal("rerank", model, answer)
    results = body.get("results")
    scores = (
        [item for item in results if isinstance(item, dict) and "relevance_score" in item]
        if isinstance(results, list)
        else []
    )
    status = Status.OK if len(scores) == len(RERANK_DOCUMENTS) else Status.FAILED
    return ProbeResult(
        "rerank",
        model.served_name,
        status,
        f"{len(scores)} scores of {len(RERANK_DOCUMENTS)}",
        "" if status is Status.OK else f"run 'stackctl logs {model.service}'",
        answer.elapsed_s,
    )


RERANK_DOCUMENTS = ("The gateway listens on port 8000.", "Bread is baked in an oven.")


def build_question(model: ServedModel, known_question: str) -> tuple[str, dict[str, Any]]:
    """Path and body of the request that proves this model works."""
    if model.mode == "embedding":
        return "/v1/embeddings", {"model": model.served_name, "input": known_question}
    if model.mode == "rerank":
        return "/v1/rerank", {
            "model": model.served_name,
            "query": "Which port?",
            "documents": list(RERANK_DOCUMENTS),
        }
    question = known_question if model.is_demo else OPEN_QUESTION
    tokens = KNOWN_ANSWER_TOKENS if model.is_demo else OPEN_ANSWER_TOKENS
    return "/v1/chat/completions", {
        "model": model.served_name,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": tokens,
    }


def judge_answer(model: ServedModel, answer: Answer, known_answer: str) -> ProbeResult:
    """Judge the answer to ``build_question``."""
    if model.mode == "embedding":
        return judge_embedding(model, answer)
    if model.mode == "rerank":
        return judge_rerank(model, answer)
    return judge_completion(model, answer, known_answer)


def judge_stream(model: ServedModel, answer: Answer, known_answer: str) -> ProbeResult:
    """Judge the streamed answer to the same question, which takes another way through the gateway."""
    layer, name, elapsed_s = "stream", model.served_name, answer.elapsed_s
    hint = f"run 'stackctl restart {GATEWAY}'"
    if answer.status != 200:
        return replace(_judge_refusal(layer, model, answer), hint=hint)
    try:
        deltas = [delta for event in parse_events(split_lines([answer.body])) for delta in list_deltas(event)]
    except RuntimeFailure as error:
        return ProbeResult(layer, name, Status.FAILED, error.message, hint, elapsed_s)
    text = "".join(str(delta.get("content") or delta.get("reasoning_content") or "") for delta in deltas).strip()
    if model.is_demo and text != known_answer:
        detail = f"answered {_shorten(text)}; expected {_shorten(known_answer)}"
        return ProbeResult(layer, name, Status.FAILED, detail, hint, elapsed_s)
    if not text:
        return ProbeResult(layer, name, Status.FAILED, "answered nothing; expected text", hint, elapsed_s)
    return ProbeResult(layer, name, Status.OK, "answers in pieces", elapsed_s=elapsed_s)


def explain_off(model: ServedModel, gateway: GatewayConfig) -> str:
    """Why the gateway refuses what the model is for, as its operator wanted it; empty where it serves it."""
    if model.mode == "embedding" and not gateway.has_embeddings:
        return "switched off by GATEWAY_EMBEDDINGS"
    wanted = _FORMATS.get(model.mode, "")
    return f"left out of GATEWAY_FORMATS: {wanted}" if wanted and wanted not in gateway.formats else ""


def list_off(model: ServedModel, gateway: GatewayConfig) -> tuple[ProbeResult, ...]:
    """The result for a model that is not asked because the gateway is to refuse it; empty where it is to be asked."""
    reason = explain_off(model, gateway)
    return (ProbeResult(LAYERS[model.mode], model.served_name, Status.OK, f"not asked: {reason}"),) if reason else ()


def list_unasked(model: ServedModel, lower: Iterable[ProbeResult]) -> tuple[ProbeResult, ...]:
    """Why this model is not asked for an answer: a lower layer failed or is not ready; empty if it may be asked.

    Without this a service that is frozen would hold up the report for as long as an answer may take.

    Args:
        lower: results of the probes of all services.
    """
    layers = (LAYERS[model.mode], *(("stream",) if model.mode == "chat" else ()))
    needed = [r for r in lower if r.subject in (model.service, GATEWAY) and r.layer in ("port", "engine", "gateway")]
    for status in (Status.FAILED, Status.SKIPPED, Status.LOADING):
        found = next((result for result in needed if result.status is status), None)
        if found is not None and status is Status.LOADING:
            return tuple(
                ProbeResult(layer, model.served_name, status, f"{found.subject}: {found.detail}") for layer in layers
            )
        if found is not None:
            detail = f"not asked: {found.subject} does not answer"
            return tuple(ProbeResult(layer, model.served_name, Status.SKIPPED, detail) for layer in layers)
    return ()


def list_busy(model: ServedModel, health: Answer, slots: Answer) -> tuple[ProbeResult, ...]:
    """What is known of a model whose slots are all taken, without asking for one; empty when one is free.

    Requests that are being answered prove more than one of ours would. An engine that hangs keeps its slots too, so the
    engine itself must still tell of them.

    Args:
        health: the gateway's account of the slots that it leases.
        slots: the engine's own account of them.
    """
    lines = (read_json(health) or {}).get("slots")
    line = lines.get(model.service) if isinstance(lines, Mapping) else None
    if not isinstance(line, Mapping) or not line.get("slots") or line.get("leased", 0) < line["slots"]:
        return ()
    layers = (LAYERS[model.mode], *(("stream",) if model.mode == "chat" else ()))
    if slots.status == 0:
        detail = f"all {line['slots']} slots are taken and the engine does not tell of them: {slots.error}"
        hint = f"run 'stackctl restart'; 'stackctl logs {model.service}' says what it did last"
        return tuple(ProbeResult(layer, model.served_name, Status.FAILED, detail, hint) for layer in layers)
    detail = f"busy: all {line['slots']} slots are taken, {line.get('waiting', 0)} requests wait"
    return tuple(ProbeResult(layer, model.served_name, Status.OK, detail) for layer in layers)


def _judge_refusal(layer: str, model: ServedModel, answer: Answer) -> ProbeResult:
    """Judge an answer that is no completion: nothing, the engine still loading, or an error."""
    if not answer.status:
        return ProbeResult(
            layer,
            model.served_name,
            Status.FAILED if "within" in answer.error else Status.SKIPPED,
            f"no answer: {answer.error}",
            "run 'stackctl health' again",
            answer.elapsed_s,
        )
    if answer.status == 503 and "oading" in answer.body:
        return ProbeResult(layer, model.served_name, Status.LOADING, "the model is loading", elapsed_s=answer.elapsed_s)
    body = read_json(answer)
    error = body.get("error") if body else None
    said = str(error.get("message", "")) if isinstance(error, Mapping) else answer.body
    return ProbeResult(
        layer,
        model.served_name,
        Status.FAILED,
        f"the gateway answered {answer.status}: {_shorten(said, 160)}",
        f"run 'stackctl logs {model.service}'",
        answer.elapsed_s,
    )


def _read_completion(answer: Answer) -> str | None:
    """The text of an answer (also a reasoning model's thoughts); ``None`` when it is no completion."""
    body = read_json(answer) if answer.status == 200 else None
    try:
        message = body["choices"][0]["message"]  # type: ignore[index]
        return str(message.get("content") or message.get("reasoning_content") or "").strip()
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


def _shorten(text: str, limit: int = 40) -> str:
    flat = " ".join(text.split())
    return f"'{flat if len(flat) <= limit else flat[: limit - 1] + '…'}'"
