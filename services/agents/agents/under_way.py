"""Calls that are worked on: how far each one is, for whoever began it. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager

from agents_client.results import CallProgress

from agents.asking import Order, Tally
from agents.problems import ProblemError


class CallsUnderWay:
    """Those of this process, by their request's id and key.

    Args:
        attempts: how often a model is asked for one answer, at most.
    """

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._calls: list[tuple[Order, Tally]] = []

    @contextmanager
    def hold(self, order: Order, tally: Tally) -> Iterator[None]:
        """Have a call here until the end of the block."""
        call = (order, tally)
        self._calls.append(call)
        try:
            yield
        finally:
            self._calls = [other for other in self._calls if other is not call]

    def find(self, request_id: str, key: str) -> CallProgress:
        """How far it is.

        Raises:
            ProblemError: none of this id was begun with this key, or it has ended.
        """
        for order, tally in self._calls:
            if order.request_id == request_id and hmac.compare_digest(order.key, key):
                return CallProgress(
                    agent=order.agent,
                    model=order.model,
                    attempts=tally.attempts,
                    max_attempts=self._attempts,
                    prompt_tokens=tally.prompt_tokens,
                    completion_tokens=tally.completion_tokens,
                    time_s=tally.time_s,
                )
        raise ProblemError("not_found")
