"""What vLLM is given with ``--middleware``: every request needs the key, but for whether it is healthy.

vLLM 0.32 asks for its key below ``/v1`` alone: ``/invocations`` answers chats without one, ``/tokenize`` and
``/metrics`` tell what they know, to every user of the machine. Runs inside vLLM, on the standard library alone.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY_VARIABLE = "VLLM_API_KEY"
OPEN_PATHS = frozenset({"/health"})
_REFUSAL = json.dumps({"error": {"message": "no valid key was sent", "type": "authentication_error", "code": 401}})


class RequireKey:
    """ASGI middleware that lets a request pass only with ``Authorization: Bearer`` and the key."""

    def __init__(self, app: App) -> None:
        """Wrap an application; the key is taken from the environment, where it must be."""
        self._app = app
        self._expected = f"Bearer {os.environ[KEY_VARIABLE]}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "lifespan" or scope.get("path") in OPEN_PATHS or self._is_allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL.encode()})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_allowed(self, scope: Scope) -> bool:
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(sent, self._expected)
