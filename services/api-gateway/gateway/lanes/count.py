"""Count the tokens of a request without answering it. Does I/O through what it is given.

An engine of this stack counts the prompt that its template makes: exact, tools included. Anthropic counts its own. No
other server can be asked, and a guess is marked as one.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.catalog.values import Target
from gateway.formats.call import Call
from gateway.formats.chat import honour_for_engine
from gateway.formats.translations import build_count_body, find_dialect
from gateway.lanes.choose import fit_call
from gateway.lanes.patience import Patience
from gateway.lanes.reply import Reply
from gateway.lanes.upstream import Upstream
from gateway.outcomes import BROKEN_ANSWER, TargetError

# Of English text and code; Korean has fewer.
_BYTES_PER_TOKEN = 4


async def carry_count(call: Call, target: Target, upstream: Upstream, reply: Reply, left_s: float) -> None:
    """Answer with the number of tokens that the request's prompt has.

    Raises:
        TargetError: the target failed.
    """
    call = fit_call(call, target)
    async with Patience(target.provider.timeouts, left_s):
        if target.provider.speaks_anthropic:
            count = await _count_at_anthropic(call, target, upstream)
        elif target.provider.kind == "engine":
            count = await _count_at_engine(call, target, upstream)
        else:
            reply.warning = "token-count-is-an-estimate"
            count = len(orjson.dumps(dict(call.body))) // _BYTES_PER_TOKEN
    answer: dict[str, Any] = {"input_tokens": count}
    if call.format == "responses_count":
        answer["object"] = "response.input_tokens"
    await reply.whole(orjson.dumps(answer))


async def _count_at_anthropic(call: Call, target: Target, upstream: Upstream) -> int:
    body = {**call.body, "model": target.model}
    if call.format == "responses_count":
        body = find_dialect().build_count_body(build_count_body(call.format, body))
    return await _ask(call, target, upstream, "/messages/count_tokens", body)


async def _count_at_engine(call: Call, target: Target, upstream: Upstream) -> int:
    body = build_count_body(call.format, call.body)
    honour_for_engine(body)  # as the request itself would be changed
    return await _ask(call, target, upstream, "/chat/completions/input_tokens", body)


async def _ask(call: Call, target: Target, upstream: Upstream, path: str, body: dict[str, Any]) -> int:
    count = (await upstream.ask(target, path, body, call.tracing)).get("input_tokens")
    if not isinstance(count, int):
        raise TargetError(BROKEN_ANSWER)
    return count
