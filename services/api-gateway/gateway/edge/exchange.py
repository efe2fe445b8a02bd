"""One request and its answer: counts it, logs it, and shows the client only what concerns it.

In: the ASGI ``send`` of one request. Out: another ``send`` for whoever answers. Does I/O: the log.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from gateway.edge.replies import send_error
from gateway.edge.routes import Route
from gateway.errors import ApiError
from gateway.failures import Failure, explain, replace_stream_errors
from gateway.observe.metrics import DURATION, FIRST_BYTE, IN_PROGRESS, REQUESTS

if TYPE_CHECKING:
    from starlette.types import Message, Send

_LOG = logging.getLogger("gateway.access")

# LiteLLM adds some thirty headers, among them the address of the model's server.
_SHOWN_HEADERS = frozenset(
    {b"cache-control", b"content-encoding", b"content-length", b"content-type", b"retry-after", b"x-accel-buffering"}
)
_MAX_ERROR_BYTES = 1024 * 1024


class Exchange:
    """The state of one request; ``send`` is handed to whoever answers it."""

    def __init__(self, route: Route | None, method: str, send: Send) -> None:
        self.route = route
        self.role = "-"
        self.model = ""
        self.code = ""
        self.status = 0
        self.failure = Failure()
        self.has_begun = False
        self.is_complete = False
        self._method = method
        self._send = send
        self._start = time.perf_counter()
        self._first_byte_s: float | None = None
        self._held: list[bytes] | None = None
        self._held_headers: list[tuple[bytes, bytes]] = []
        IN_PROGRESS.inc()

    @property
    def name(self) -> str:
        """The route for logs and metrics; an unknown path may hold anything, so it is not shown."""
        return self.route.name if self.route else "unknown"

    async def send(self, message: Message) -> None:
        """Pass an answer on; an error of LiteLLM's is held back until it is whole, and replaced."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            shown = [item for item in message["headers"] if item[0].lower() in _SHOWN_HEADERS]
            if self.status >= 400:
                self._held, self._held_headers = [], shown
                return
            self._first_byte_s = time.perf_counter() - self._start
            message["headers"] = shown
        elif self._held is not None:
            await self._hold(message)
            return
        if body := message.get("body"):
            message["body"] = replace_stream_errors(body, partial(self._explain, 502))
        await self._pass(message)

    async def send_own(self, message: Message) -> None:
        """Pass an answer of the gate's own on as it is."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._pass(message)

    async def _pass(self, message: Message) -> None:
        self.has_begun = True
        self.is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def _hold(self, message: Message) -> None:
        assert self._held is not None
        if sum(map(len, self._held)) < _MAX_ERROR_BYTES:
            self._held.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        error = self._explain(self.status, b"".join(self._held))
        retry = [item for item in self._held_headers if item[0].lower() == b"retry-after"]
        await send_error(self.send_own, error, self.route is not None and self.route.is_anthropic, retry)

    def _explain(self, status: int, body: bytes) -> ApiError:
        error = explain(status, body, self.failure.exception, self.model)
        self.code = error.code
        if error.status >= 500:
            _LOG.warning("%s for model %s, because of:", error.code, self.model, exc_info=self.failure.exception)
        return error

    def finish(self) -> None:
        """Count and log the request; called once, whatever happened."""
        IN_PROGRESS.dec()
        duration_s = time.perf_counter() - self._start
        REQUESTS.labels(self.name, self.model, str(self.status)).inc()
        if self.model:
            DURATION.labels(self.name, self.model).observe(duration_s)
            if self._first_byte_s is not None:
                FIRST_BYTE.labels(self.name, self.model).observe(self._first_byte_s)
        if self.name.startswith("/health") and self.status == 200:
            return
        _LOG.info(
            "%s %s %d key=%s model=%s %.1f ms%s%s",
            self._method,
            self.name,
            self.status,
            self.role,
            self.model or "-",
            duration_s * 1000,
            f" error={self.code}" if self.code else "",
            "" if self.is_complete else " incomplete",
        )
