"""Answers that are given again to the same request of the same caller, in memory alone. Does no I/O."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from chat_api.dto.response import ChatResponse
from chat_api.service.keys import SelectedKey, hash_key


class AnswerCache:
    """The newest answers.

    Args:
        entries: that are kept at most; 0 for none.
        age_s: seconds that each is kept.
    """

    def __init__(self, entries: int, age_s: int) -> None:
        self._most, self._age_s = entries, age_s
        self._held: OrderedDict[bytes, tuple[float, ChatResponse]] = OrderedDict()
        self.hits = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._most > 0

    def build_name(self, key: SelectedKey, body: bytes) -> bytes:
        """By which an answer is found: whose key asked, and for what."""
        return hashlib.sha256(b"\0".join((key.source.encode(), hash_key(key.key, key.kind), body))).digest()

    def find(self, name: bytes) -> ChatResponse | None:
        """The answer that was kept; None for none, or one that is too old."""
        if not name or (held := self._held.get(name)) is None:
            return None
        until, response = held
        if until < time.monotonic():
            del self._held[name]
            return None
        self._held.move_to_end(name)
        self.hits += 1
        return response

    def keep(self, name: bytes, response: ChatResponse) -> None:
        """Keep an answer; the one that was not used for longest goes where there are too many."""
        if name:
            self._held[name] = time.monotonic() + self._age_s, response
            self._held.move_to_end(name)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
