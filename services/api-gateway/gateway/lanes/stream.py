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
            reply.course.first_at, reply.course.pieces = patience.first_at, request.reader.pieces


async def _pass_whole(request: StreamRequest, answer: Answer, reply: Reply) -> None:
    """Pass on the answer of a server that does not stream, as the one chunk that it would have been."""
    sent = request.reader.feed(write_whole(await read_whole(answer)))
    await _end(request, reply, sent if request.is_streamed else b"")


async def _end(request: StreamRequest, reply: Reply, held: bytes) -> None:
    """Send the end. What was counted is told before: its limits are settled when the client can ask again."""
    last = held + request.reader.finish()
    reply.usage, reply.course.pieces = request.reader.usage, request.reader.pieces
    await (reply.end(last) if request.is_streamed else reply.whole(last))


class _Passage:
    """The pieces of one streamed answer on their way from its server to the client.

    Attributes:
        held: what is still to be sent: until there is content another target may answer, so that nothing is.
    """

    def __init__(self, request: StreamRequest, patience: Patience, reply: Reply) -> None:
        self._reader = request.reader
        self._is_streamed = request.is_streamed
        self._patience = patience
        self._reply = reply
        self._cutter = EventCutter()
        self._has_begun = False
        self.held = b""

    def take(self, data: bytes) -> bool:
        """Take a piece of the server's; false when something has to be waited for before the next, or at the end."""
        block = self._cutter.feed(data)
        if not block:
            return True
        reader = self._reader
        sent = reader.feed(block)
        self._patience.saw_piece(reader.has_content)
        if not self._is_streamed:
            return not reader.is_done
        if self._has_begun and not reader.is_done:
            return self._reply.push(sent) if sent else True
        self.held += sent
        return not reader.has_content

    async def go_on(self) -> None:
        """Open the client's stream with what is held, or wait for a client that is behind."""
        self._has_begun = True
        sent, self.held = self.held, b""
        await self._reply.write(sent)


async def _pass_on(request: StreamRequest, answer: Answer, patience: Patience, reply: Reply) -> None:
    reader, passage = request.reader, _Passage(request, patience, reply)
    await answer.pass_to(passage.take)
    while not reader.is_done:
        await passage.go_on()
        await answer.pass_to(passage.take)
    await _end(request, reply, passage.held)


def describe_cut(error: TargetError, model: str) -> ApiError:
    """The error for a client whose stream has begun and cannot be finished."""
    outcome = error.outcome if error.outcome is not BROKEN_ANSWER else SERVER_ERROR
    text = f"The answer of model '{model}' broke off: {outcome.seen}."
    return ApiError(outcome.status, outcome.code, text)
