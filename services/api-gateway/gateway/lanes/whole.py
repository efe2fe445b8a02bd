"""The lane of embeddings and reranking, which answer in one piece. Does I/O through what it is given.

A long list is asked in short ones: an engine computes what it has taken to its end, whether or not somebody still
waits, and so it never takes much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.catalog.values import Target
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.lanes.choose import fit_call
from gateway.lanes.patience import Patience
from gateway.lanes.reply import Reply
from gateway.lanes.upstream import Upstream
from gateway.outcomes import BROKEN_ANSWER, TargetError

# Inputs that an engine is sent at once.
_BATCH = 32


async def carry_embeddings(call: Call, target: Target, upstream: Upstream, reply: Reply, left_s: float) -> None:
    """Ask for the vectors of all inputs and answer with them.

    Raises:
        RefusedError: the model has not the number of dimensions that were asked for.
        TargetError: the target failed.
    """
    call = fit_call(call, target)
    inputs = _list_inputs(call.body.get("input"))
    body = {**call.body, "model": target.model}
    data: list[dict[str, Any]] = []
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    reply.usage = usage  # grows with each batch, also of a request that ends before its last
    async with Patience(target.provider.timeouts, left_s):
        for batch in _cut(inputs, target):
            answer = await upstream.ask(target, "/embeddings", {**body, "input": batch}, call.tracing)
            found = answer.get("data")
            if not isinstance(found, list) or len(found) != len(batch) or not all(map(_has_vector, found)):
                raise TargetError(BROKEN_ANSWER)
            data += [{**item, "index": len(data) + place} for place, item in enumerate(found)]
            _add_usage(usage, answer)
    _check_dimensions(call, data)
    await reply.whole(orjson.dumps({"object": "list", "data": data, "model": call.asked, "usage": usage}))


async def carry_rerank(call: Call, target: Target, upstream: Upstream, reply: Reply, left_s: float) -> None:
    """Ask for the scores of all documents and answer with them, best first.

    Raises:
        RefusedError: fewer than one document is wanted.
        TargetError: the target failed.
    """
    call = fit_call(call, target)
    documents, top = call.body["documents"], call.body.get("top_n")
    if top is not None and top < 1:
        raise RefusedError(ApiError(400, "invalid_parameter", "Parameter 'top_n' must be 1 or more.", "top_n"))
    own = ("return_documents", "top_n")
    body = {name: value for name, value in call.body.items() if name not in own} | {"model": target.model}
    results: list[dict[str, Any]] = []
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    reply.usage = usage
    begun = 0
    async with Patience(target.provider.timeouts, left_s):
        for batch in _cut(documents, target):
            answer = await upstream.ask(target, "/rerank", {**body, "documents": batch}, call.tracing)
            found = answer.get("results")
            if not isinstance(found, list) or not all(map(_has_score, found)):
                raise TargetError(BROKEN_ANSWER)
            if sorted(item["index"] for item in found) != list(range(len(batch))):
                raise TargetError(BROKEN_ANSWER)
            results += [{**item, "index": begun + item["index"]} for item in found]
            begun += len(batch)
            _add_usage(usage, answer)
    results.sort(key=lambda item: (-item["relevance_score"], item["index"]))
    if call.body.get("return_documents"):
        results = [{**item, "document": _show(documents[item["index"]])} for item in results]
    answer = {"object": "list", "model": call.asked, "results": results[:top], "usage": usage}
    await reply.whole(orjson.dumps(answer))


def _show(document: Any) -> Any:
    """A document as Jina's and Cohere's answers repeat it."""
    return {"text": document} if isinstance(document, str) else document


def _list_inputs(value: Any) -> list[Any]:
    """All inputs: texts, or lists of tokens."""
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        return [value]
    return list(value)


def _cut(items: Sequence[Any], target: Target) -> list[Sequence[Any]]:
    size = _BATCH if target.provider.is_engine else len(items)
    return [items[start : start + size] for start in range(0, len(items), size)]


def _has_vector(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("embedding"), list | str) and bool(item["embedding"])


def _has_score(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("index"), int)
        and isinstance(item.get("relevance_score"), int | float)
    )


def _add_usage(total: dict[str, int], answer: Mapping[str, Any]) -> None:
    usage = answer.get("usage")
    for name in total:
        count = usage.get(name) if isinstance(usage, dict) else None
        total[name] += count if isinstance(count, int) else 0


def _check_dimensions(call: Call, data: Sequence[Mapping[str, Any]]) -> None:
    wanted, found = call.body.get("dimensions"), _count_dimensions(data[0]["embedding"]) if data else None
    if wanted is not None and found != wanted:
        text = f"Model '{call.asked}' makes vectors of {found} numbers; 'dimensions' is {wanted}."
        raise RefusedError(ApiError(400, "unsupported_dimensions", text, "dimensions"))


def _count_dimensions(vector: list[Any] | str) -> int:
    """Numbers of a vector, which may be written as the base64 of 32-bit floats."""
    if isinstance(vector, list):
        return len(vector)
    return (len(vector) * 3 // 4 - vector.count("=")) // 4
