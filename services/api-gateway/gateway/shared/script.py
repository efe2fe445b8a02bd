"""The script that counts limits, as one worker has it run. Does I/O: the connection to Redis.

A Redis that answers and does not run it, because it is full, read-only or still loading, is as good as away.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.observe.logs import note
from gateway.shared.connection import AwayError, Connection
from gateway.shared.resp import ErrorReply

_LOG = logging.getLogger("gateway.limits")

SCRIPT = Path(__file__).with_name("limits.lua")


class Script:
    """The script at one connection.

    Args:
        text: what is run; ``limits.lua`` says what it takes.

    Attributes:
        refusal: why Redis does not run it; empty while it does.
    """

    def __init__(self, connection: Connection, text: bytes) -> None:
        self._connection = connection
        self._text = text
        self._digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        self.refusal = ""

    def load(self) -> None:
        """Hand it to a Redis that may not know it."""
        self._connection.say("SCRIPT", "LOAD", self._text)

    async def run(self, places: tuple[str, ...], *words: str | int) -> Any:
        """Run it and wait for its reply.

        Raises:
            AwayError: Redis does not answer, or does not run it.
        """
        try:
            try:
                reply = await self._connection.ask("EVALSHA", self._digest, len(places), *places, *words)
            except ErrorReply as refused:
                if refused.code != "NOSCRIPT":
                    raise
                reply = await self._connection.ask("EVAL", self._text, len(places), *places, *words)
        except ErrorReply as refused:
            self._note_refusal(f"refuses to count ({refused.code})")
            raise AwayError from None
        self._note_refusal("")
        return reply

    def say(self, places: tuple[str, ...], *words: str | int, on_loss: Callable[[], None] = lambda: None) -> None:
        """Have it run without waiting; see ``Connection``."""
        self._connection.say("EVALSHA", self._digest, len(places), *places, *words, on_loss=on_loss)

    def _note_refusal(self, reason: str) -> None:
        if reason and reason != self.refusal:
            place = self._connection.place
            facts = {"redis": place.address, "reason": reason, "rule": place.away}
            note(_LOG, logging.WARNING, "limits are not shared", facts)
        self.refusal = reason
