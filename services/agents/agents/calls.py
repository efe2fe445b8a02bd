"""One call of an agent from the caller's request to the answer. Does I/O through ``Asker``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agents_client.results import CallFacts, CallProgress
from fastapi import Request
from pydantic import BaseModel

from agents.asking import Asker, Order, Outcome, Tally
from agents.leaving import ClientLeftError, run_while_wanted
from agents.observe import Metrics
from agents.places import Places
from agents.problems import ProblemError
from agents.requests import AgentRequest
from agents.settings import Settings
from agents.under_way import CallsUnderWay

Draft = TypeVar("Draft", bound=BaseModel)

_MAX_KEY = 512
_CLIENT_LEFT = "client_left"


@dataclass(frozen=True, slots=True)
class Calls:
    """What every call needs."""

    settings: Settings
    asker: Asker
    metrics: Metrics
    places: Places
    under_way: CallsUnderWay

    async def serve(
        self, agent: str, request: Request, asked: AgentRequest, kind: type[Draft], number: Callable[[Draft], BaseModel]
    ) -> dict[str, Any]:
        """Answer one call with ``result`` and ``call``.

        Args:
            agent: of ``prompts.AGENTS``.
            kind: what the model writes.
            number: makes of it what the caller gets.

        Raises:
            ProblemError: it cannot be served.
            ClientLeftError: nobody waits for it any more.
        """
        order = Order(
            agent=agent,
            facts=asked.list_facts(),
            language=asked.language or self.settings.language,
            model=asked.model or self.settings.model,
            key=self._choose_key(request.headers.get("authorization")),
            request_id=request.state.facts["request_id"],
        )
        tally = Tally(order.model)
        code = "internal_error"
        try:
            outcome = await run_while_wanted(self._work(order, kind, tally, is_free=_is_free(request)), request)
            code = "ok"
            return {"result": number(outcome.value), "call": self._describe(order, outcome)}
        except ProblemError as problem:
            code = problem.code
            if code == "key_refused" and _is_free(request):
                code = "service_key_refused"  # which is no fault of the caller's
                raise ProblemError(code) from None
            raise
        except ClientLeftError:
            code = _CLIENT_LEFT
            raise
        finally:
            self._count(agent, tally, code)
            request.state.facts.update(
                agent=agent,
                code=code,
                attempts=tally.attempts,
                prompt_tokens=tally.prompt_tokens,
                completion_tokens=tally.completion_tokens,
            )

    def follow(self, request: Request, request_id: str) -> CallProgress:
        """How far a call is that this caller's key began.

        Raises:
            ProblemError: there is no such call, or no key.
        """
        return self.under_way.find(request_id, self._choose_key(request.headers.get("authorization")))

    async def _work(self, order: Order, kind: type[Draft], tally: Tally, is_free: bool) -> Outcome[Draft]:
        # Before it has a place: made-up keys would keep those who have a key from theirs.
        await self.asker.gateway.check_key(order.key)
        with self.places.take(is_free), self.metrics.under_way.track_inprogress(), self.under_way.hold(order, tally):
            return await self._ask(order, kind, tally)

    async def _ask(self, order: Order, kind: type[Draft], tally: Tally) -> Outcome[Draft]:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await self.asker.ask(order, kind, tally)
        except TimeoutError:
            raise ProblemError("timed_out") from None

    def _choose_key(self, header: str | None) -> str:
        """The caller's key, or the service's own where callers may come without one."""
        if header is None:
            if self.settings.is_open:
                return self.settings.gateway_key
            raise ProblemError("key_required")
        scheme, _, key = header.strip().partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise ProblemError("key_required")
        if len(key) > _MAX_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise ProblemError("key_refused")
        return key

    def _describe(self, order: Order, outcome: Outcome[Any]) -> CallFacts:
        tally = outcome.tally
        return CallFacts(
            model=tally.model,
            attempts=tally.attempts,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            time_s=tally.time_s,
            language=order.language,
            prompts=self.asker.prompts.version,
            is_constrained=tally.is_constrained,
            is_mended=outcome.is_mended,
            request_id=order.request_id,
        )

    def _count(self, agent: str, tally: Tally, code: str) -> None:
        self.metrics.calls.labels(agent, code).inc()
        self.metrics.attempts.labels(agent).inc(tally.attempts)
        self.metrics.seconds.labels(agent).observe(tally.time_s)
        tokens: Mapping[str, int] = {"prompt": tally.prompt_tokens, "completion": tally.completion_tokens}
        for direction, count in tokens.items():
            self.metrics.tokens.labels(agent, direction).inc(count)


def _is_free(request: Request) -> bool:
    """Whether it came without a key."""
    return "authorization" not in request.headers
