"""The lane of chat and completions: one request, asked as a stream, to one server. Does I/O through its arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from gateway.catalog.values import Target
from gateway.errors import ApiError
from gateway.lanes.patience import Patience
from gateway.lanes.readers import Reader
from gateway.lanes.reply import Reply
from gateway.lanes.sse import EventCutter
from gateway.lanes.unstreamed import write_whole
from gateway.lanes.upstream import Upstream, read_whole
from gateway.outcomes import BROKEN_ANSWER, SERVER_ERROR, TargetError

_EVENT_STREAM, _JSON = "text/event-stream", "application/json"
# Of a pooled connection: what may still follow the terminal event before the connection is given up instead of kept.
_MAX_REST_BYTES, _MAX_REST_S = 64 * 1024, 1.0


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What is sent to a server, and who reads its answer.

    Attributes:
        path: behind the target's base URL.
        is_streamed: whether the client gets the answer piece by piece.
    """

    path: str
    body: bytes
    reader: Reader
    is_streamed: bool
    headers: Mapping[str, str] = field(default_factory=dict)


async def carry_stream(request: StreamRequest, target: Target, upstream: Upstream, reply: Reply, left_s: float) -> None:
    """Send the request and pass the answer on.

    Raises:
        TargetError: the target failed; when ``reply`` has begun by then, the answer is unfinished.
    """
    async with (
        Patience(target.provider.timeouts, left_s) as patience,
        upstream.post(target, request.path, request.body, request.headers) as response,
    ):
        try:
            if response.content_type == _EVENT_STREAM:
                await _pass_on(request, response, patience, reply)
            elif response.content_type == _JSON and not target.provider.speaks_anthropic:
                await _pass_whole(request, response, reply)
            else:
                raise TargetError(BROKEN_ANSWER)
        # What a server may send instead of the format: values of other types, keys that are not there.
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TargetError(BROKEN_ANSWER) from error
        finally:
            reply.usage = request.reader.usage
        if not target.provider.fresh_connections:
            await _drain(response)


async def _pass_whole(request: StreamRequest, response: aiohttp.ClientResponse, reply: Reply) -> None:
    """Pass on the answer of a server that does not stream, as the one chunk that it would have been."""
    sent = request.reader.feed(write_whole(await read_whole(response)))
    if request.is_streamed:
        await reply.end(sent + request.reader.finish())
    else:
        await reply.whole(request.reader.finish())


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read what follows the terminal event, so that the connection can be used again; the answer is complete."""
    try:
        async with asyncio.timeout(_MAX_REST_S):
            await response.content.read(_MAX_REST_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        response.close()


async def _pass_on(request: StreamRequest, response: aiohttp.ClientResponse, patience: Patience, reply: Reply) -> None:
    reader, cutter, held = request.reader, EventCutter(), b""
    while not reader.is_done:
        data = await response.content.readany()
        if not data:
            raise TargetError(BROKEN_ANSWER)
        block = cutter.feed(data)
        if not block:
            continue
        sent = reader.feed(block)
        patience.saw_piece(reader.has_content)
        if not request.is_streamed:
            continue
        if reader.has_content:
            if held or sent:
                await reply.write(held + sent)
            held = b""
        else:  # kept until there is content: until then another target may answer
            held += sent
    if request.is_streamed:
        await reply.end(reader.finish())
    else:
        await reply.whole(reader.finish())


def describe_cut(error: TargetError, model: str) -> ApiError:
    """The error for a client whose stream has begun and cannot be finished."""
    outcome = error.outcome if error.outcome is not BROKEN_ANSWER else SERVER_ERROR
    text = f"The answer of model '{model}' broke off: {outcome.seen}."
    return ApiError(outcome.status, outcome.code, text)
