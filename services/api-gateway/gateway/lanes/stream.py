"""The lane of chat and completions: one request, asked as a stream, to one server. Does I/O through its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.catalog.values import Target
from gateway.errors import ApiError
from gateway.lanes.answer import Answer, find_media_type, read_whole
from gateway.lanes.patience import Patience
from gateway.lanes.readers import Reader
from gateway.lanes.reply import Reply
from gateway.lanes.sse import EventCutter
from gateway.lanes.unstreamed import write_whole
from gateway.lanes.upstream import Upstream
from gateway.outcomes import BROKEN_ANSWER, SERVER_ERROR, TargetError

_EVENT_STREAM, _JSON = "text/event-stream", "application/json"


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
        upstream.post(target, request.path, request.body, request.headers) as answer,
    ):
        try:
            media_type = find_media_type(answer)
            if media_type == _EVENT_STREAM:
                await _pass_on(request, answer, patience, reply)
            elif media_type == _JSON and not target.provider.speaks_anthropic:
                await _pass_whole(request, answer, reply)
            else:
                raise TargetError(BROKEN_ANSWER)
        # What a server may send instead of the format: values of other types, keys that are not there.
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TargetError(BROKEN_ANSWER) from error
        finally:
            reply.usage = request.reader.usage


async def _pass_whole(request: StreamRequest, answer: Answer, reply: Reply) -> None:
    """Pass on the answer of a server that does not stream, as the one chunk that it would have been."""
    sent = request.reader.feed(write_whole(await read_whole(answer)))
    if request.is_streamed:
        await reply.end(sent + request.reader.finish())
    else:
        await reply.whole(request.reader.finish())


async def _pass_on(request: StreamRequest, answer: Answer, patience: Patience, reply: Reply) -> None:
    reader, cutter, held = request.reader, EventCutter(), b""
    while not reader.is_done:
        data = await answer.read()
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
