"""One request and its answer: sends it, counts it, logs it.

In: the ASGI ``send`` of one request. Out: ``Reply`` for lanes, and answers of the gate's own. Does I/O: the log.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from gateway.cache.copy import Listener
from gateway.cache.wishes import HIT
from gateway.edge.endpoints import Endpoint
from gateway.errors import ApiError
from gateway.formats.call import Call
from gateway.lanes.reply import Course
from gateway.observe.logs import note
from gateway.observe.metrics import DURATION, FIRST_BYTE, IN_PROGRESS, REQUESTS, count_request, count_tokens
from gateway.observe.usage import Recorder
from gateway.observe.usage_rows import CACHE, Record, count_taken
from gateway.queue.bounds import Admission
from gateway.state.usage import OK
from gateway.state.values import NOBODY

if TYPE_CHECKING:
    from gateway.edge.asgi import Push, Send

Headers = list[tuple[bytes, bytes]]

_LOG = logging.getLogger("gateway.access")
_STREAM_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"),
                   (b"x-accel-buffering", b"no"))  # fmt: skip


class Exchange:
    """The state of one request.

    Attributes:
        headers: of every answer to it, such as its id.
        caller: who asks.
        model: the route's served name; empty when no model is asked.
        action: what the operator had done, and ``subject`` to which key; empty for other requests.
        listener: is told what the client is sent, where that is logged or kept; None where it is not.
        cache: what the cache had, as a word; empty for a route without one.
        call: the request, once it is checked.
        course: how it fared at the servers.
        fail: writes an error into its stream, in the client's format; None before a stream can begin.
        admission: the right to run within the limits of the caller's key; None where it has none.
        recorder: where what it took is kept; None for a request that asks no model, or before its key is known.
    """

    def __init__(
        self, endpoint: Endpoint | None, method: str, request_id: str, send: Send, push: Push | None = None
    ) -> None:
        self.endpoint = endpoint
        self.request_id = request_id
        self.headers: Headers = [(b"x-request-id", request_id.encode())]
        self.caller = NOBODY
        self.model = ""
        self.action = self.subject = ""
        self.code = ""
        self.status = 0
        self.target = ""
        self.warning = self.cache = ""
        self.usage: Mapping[str, Any] | None = None
        self.listener: Listener | None = None
        self.call: Call | None = None
        self.course = Course()
        self.fail: Callable[[ApiError], bytes] | None = None
        self.admission: Admission | None = None
        self.recorder: Recorder | None = None
        self.has_begun = False
        self.is_complete = False
        self._is_head = method == "HEAD"
        self._method = method
        self._send = send
        self._push = push
        self._unsent = b""
        self._start = time.monotonic()
        self._first_byte_s: float | None = None
        IN_PROGRESS.inc()

    @property
    def name(self) -> str:
        """The endpoint for logs and metrics; an unknown path may hold anything, so it is not shown."""
        return self.endpoint.name if self.endpoint else "unknown"

    @property
    def is_anthropic(self) -> bool:
        """Whether the client speaks Anthropic's format."""
        return self.endpoint is not None and self.endpoint.is_anthropic

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream; the first one opens it."""
        if not self.has_begun:
            await self._open(200, [*_STREAM_HEADERS, *self.headers])
        if self.listener is not None:
            self.listener.add(data)
        sent, self._unsent = self._unsent + data, b""
        await self._send({"type": "http.response.body", "body": sent, "more_body": True})

    def push(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun; False when the client is behind: ``write`` then waits for it."""
        if self.listener is not None:
            self.listener.add(data)
        if self._push is None:
            self._unsent += data
            return False
        return self._push(data)

    async def end(self, data: bytes = b"") -> None:
        """End the stream with these last bytes."""
        if not self.has_begun:
            await self._open(200, [*_STREAM_HEADERS, *self.headers])
        if self.listener is not None:
            self.listener.add(data)
        self.is_complete = True
        self._leave()
        await self._send({"type": "http.response.body", "body": self._unsent + data})

    async def whole(self, body: bytes) -> None:
        """Send a whole JSON answer."""
        await self.answer(200, body, b"application/json")

    async def answer(self, status: int, body: bytes, content_type: bytes, headers: Headers | None = None) -> None:
        """Send one whole answer: its head and its body."""
        if self.listener is not None:
            self.listener.add(body)
        described = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))] if status != 204 else []
        head = [*described, *(headers or ())]
        await self._open(status, head + self.headers)
        self.is_complete = True
        self._leave()
        await self._send({"type": "http.response.body", "body": b"" if self._is_head else body})

    async def answer_json(self, value: Any) -> None:
        """Send a value as JSON with status 200."""
        await self.answer(200, orjson.dumps(value), b"application/json")

    async def refuse(self, error: ApiError, headers: Headers | None = None) -> None:
        """Send an error, in the form of the endpoint's format."""
        self.code = error.code
        more = list(headers or ())
        if error.retry_after_s is not None:
            more.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
        body = error.build_body(self.is_anthropic)
        await self.answer(error.status, body, b"application/json", more)

    async def _open(self, status: int, headers: Headers) -> None:
        self.status, self.has_begun = status, True
        self._first_byte_s = time.monotonic() - self._start
        if self.warning:
            headers = [*headers, (b"x-gateway-warning", self.warning.encode())]
        if self.course.key_source:
            headers = [*headers, (b"x-gateway-provider-key", self.course.key_source.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def finish(self) -> None:
        """Count and log the request; called once, whatever happened."""
        IN_PROGRESS.dec()
        duration_s = time.monotonic() - self._start
        REQUESTS.labels(self.name, self.model, str(self.status)).inc()
        if self.model:
            DURATION.labels(self.name, self.model).observe(duration_s)
            if self._first_byte_s is not None:
                FIRST_BYTE.labels(self.name, self.model).observe(self._first_byte_s)
        if self.usage:
            prompt, completion = (self.usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens"))
            count_tokens(self.model, prompt, completion)
        self._leave()
        if self.endpoint and self.endpoint.format and self.caller is not NOBODY:
            record = self._describe(duration_s)
            count_request(record)
            if self.recorder:
                self.recorder.note(record)
        if self.name.startswith("/health") and self.status == 200:
            return
        facts = self._list_facts(duration_s)
        if self.listener is not None:
            self.listener.end(facts)
        note(_LOG, logging.INFO, "request", facts)

    def _leave(self) -> None:
        """Settle the limits of the key, before the last bytes: the client may ask again as soon as it has them."""
        admission, self.admission = self.admission, None
        if admission:
            prompt, completion, _ = count_taken(self._describe(0.0))
            admission.leave(prompt + completion)

    def _list_facts(self, duration_s: float) -> dict[str, Any]:
        """What the log tells of the request, without what there is nothing to say of."""
        facts: dict[str, Any] = {
            "request": self.request_id,
            "key": self.caller.name,
            "method": self._method,
            "endpoint": self.name,
            "status": self.status,
            "duration_ms": round(duration_s * 1000, 1),
        }
        if self._first_byte_s is not None:
            facts["first_byte_ms"] = round(self._first_byte_s * 1000, 1)
        found = {"model": self.model, "target": self.target, "error": self.code, "warning": self.warning}
        found |= {"action": self.action, "subject": self.subject, "cache": self.cache}
        facts |= {name: value for name, value in found.items() if value}
        if not self.is_complete:
            facts["complete"] = False
        return facts

    def _describe(self, duration_s: float) -> Record:
        """What is kept of the request."""
        course = self.course
        first_s = course.first_at - self._start if course.first_at is not None else None
        if first_s is None and self.status == 200:
            first_s = self._first_byte_s
        return Record(
            ended_at=time.time(),
            request=self.request_id,
            key=self.caller.name,
            model=self.model,
            format=self.endpoint.format if self.endpoint else "",
            provider=CACHE if self.cache == HIT else course.provider,
            target=self.target,
            tried=course.tried,
            status=self.status,
            outcome=self.code or OK,
            counted=(*course.spent, *((self.usage,) if self.usage else ())),
            pieces=course.pieces,
            queue_s=course.queue_s,
            first_s=first_s,
            duration_s=duration_s,
            body=self.call.body if self.call else None,
        )
