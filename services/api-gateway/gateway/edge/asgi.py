"""The types of an ASGI application, as uvicorn calls one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Sends a piece of a streamed body at once; says whether the client keeps up.
Push = Callable[[bytes], bool]
# Calls a function when the client leaves, until the function that it returns is called.
Watch = Callable[[Callable[[], None]], Callable[[], None]]
# What our own server offers beside ASGI, under these names of a scope's extensions.
PUSH, WATCH = "gateway.push", "gateway.watch"
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
