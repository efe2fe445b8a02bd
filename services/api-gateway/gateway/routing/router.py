"""Try a route's targets until one answers: retries, fallbacks, one deadline over all. Does I/O through lanes.

In: a checked ``Call`` and its ``Route``. Out: the answer, written to ``Reply``; or ``RefusedError`` with what the
client is told. Once the client has seen content nothing is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.catalog.values import Route, Target
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.lanes.abilities import find_warning
from gateway.lanes.choose import build_stream_request
from gateway.lanes.count import carry_count
from gateway.lanes.reply import Reply
from gateway.lanes.stream import carry_stream, describe_cut
from gateway.lanes.upstream import Upstream
from gateway.lanes.whole import carry_embeddings, carry_rerank
from gateway.observe.logs import note
from gateway.outcomes import LEFT_OUT, PROVIDER_REFUSED_KEY, QUEUE_FULL, RATE_LIMITED, TIMED_OUT, Blame, TargetError
from gateway.policy.provider_key import is_callers, use_key
from gateway.queue.line import QueueError
from gateway.queue.slots import Lease, SlotQueue
from gateway.routing.breaker import Breaker
from gateway.routing.limits import count_tokens, enter, wait_turn
from gateway.routing.targets import list_targets

_LOG = logging.getLogger("gateway.route")

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 8.0
# A stream that is cut frees its slot of llama.cpp within 0.1 s; a request sent meanwhile would wait inside the engine.
_FREED_AFTER_S = 0.2


@dataclass(slots=True)
class _Journey:
    """One request on its way over the targets of its route; ``end`` in seconds of the monotonic clock."""

    call: Call
    route: Route
    reply: Reply
    end: float
    tried: list[tuple[Target, TargetError]] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.end - time.monotonic()

    def has_callers_key(self, target: Target) -> bool:
        """Whether a target is asked with a key of the caller's own."""
        return bool(self.call.provider_key) and is_callers(target, self.route)


class Router:
    """Tries targets.

    Args:
        slots: where slots of an engine are leased before it is asked.
        queue_wait_s: longest wait for them.
    """

    def __init__(self, upstream: Upstream, slots: SlotQueue, breaker: Breaker, queue_wait_s: float) -> None:
        self._upstream = upstream
        self._slots = slots
        self._breaker = breaker
        self._queue_wait_s = queue_wait_s

    async def serve(self, call: Call, route: Route, reply: Reply) -> None:
        """Answer the call.

        Raises:
            RefusedError: no target answered; nothing was sent.
        """
        journey = _Journey(call, route, reply, time.monotonic() + route.deadline_s)
        try:
            await self._travel(journey)
        finally:
            tried = journey.tried[:-1] if reply.has_begun and reply.code else journey.tried
            reply.course.tried = tuple((target.name, error.outcome.code) for target, error in tried)

    async def _travel(self, journey: _Journey) -> None:
        call, route = journey.call, journey.route
        targets = list_targets(call, route)
        left_out = []
        for place, target in enumerate(targets):
            # Asked when its turn has come: who is let through to see whether a target is back must go and see.
            if len(targets) > 1 and not self._breaker.allows(target.name):
                journey.tried.append((target, TargetError(LEFT_OUT)))
                _note_try(logging.DEBUG, "target left out", journey, target)
                left_out.append(target)
            elif await self._try_target(journey, target, is_last=place == len(targets) - 1):
                return
        for target in left_out if len(left_out) == len(targets) else ():  # better than to ask nobody
            if await self._try_target(journey, target, is_last=target is left_out[-1]):
                return
        raise RefusedError(_explain(journey))

    async def describe(self, targets: Iterable[Target]) -> dict[str, Any]:
        """How each target fared of late, and how busy each engine is; needs no slot and asks no server."""
        slots = await self._slots.describe()
        return {
            "targets": [
                {"model": item.name, "provider": item.provider.name, **self._breaker.describe(item.name)}
                for item in targets
            ],
            "slots": {name: asdict(slots[name]) for name in sorted(slots)},
        }

    async def _try_target(self, journey: _Journey, target: Target, is_last: bool) -> bool:
        """Try one target as often as its route says; tells whether the client was answered.

        Raises:
            RefusedError: the request is at fault, so that no other target is asked.
        """
        try:
            for attempt in range(journey.route.retries + 1):
                try:
                    await self._attempt(journey, target)
                except TargetError as error:
                    if self._is_over(journey, target, error):
                        return True
                    delay_s = _choose_delay(attempt, error, journey, is_last)
                    if attempt == journey.route.retries or not error.outcome.is_retried or delay_s is None:
                        return False
                    await asyncio.sleep(delay_s)
                else:
                    self._breaker.succeed(target.name)
                    return True
            return False
        finally:
            # A client that left, a refused request and a full queue tell nothing of the target.
            self._breaker.abandon(target.name)

    def _is_over(self, journey: _Journey, target: Target, error: TargetError) -> bool:
        """Note a failed try; true when its client has seen a part of the answer and nothing can be tried again."""
        outcome = error.outcome
        if outcome.blame is Blame.CLIENT and not journey.reply.has_begun:
            raise RefusedError(_describe(error, journey.call)) from error
        # What the provider says of a caller's key and its limits tells nothing of the target.
        is_callers_own = outcome in (PROVIDER_REFUSED_KEY, RATE_LIMITED) and journey.has_callers_key(target)
        if outcome is PROVIDER_REFUSED_KEY and is_callers_own:
            raise RefusedError(_refuse_key(journey.call)) from error
        if outcome.blame in (Blame.SERVER, Blame.GATEWAY) and not is_callers_own:
            self._breaker.fail(target.name, outcome.code)
        journey.tried.append((target, error))
        cause = error.__cause__
        reason = {"cause": type(cause).__name__} if cause else {}
        _note_try(logging.WARNING, "target failed", journey, target, error=outcome.code, **reason)
        if journey.reply.has_begun:
            journey.reply.code = outcome.code
        return journey.reply.has_begun

    async def _attempt(self, journey: _Journey, target: Target) -> None:
        """Ask a target once, within its limits."""
        if journey.left_s <= 0:
            raise TargetError(TIMED_OUT)
        _begin_anew(journey.reply)
        admission = await enter(target, self._slots, journey.call, journey.route)
        try:
            await self._ask(journey, target)
        finally:
            admission.leave(count_tokens(journey.reply.usage, journey.reply.has_begun))

    async def _ask(self, journey: _Journey, target: Target) -> None:
        """Ask a target once it has a slot, and give the slot back."""
        left_s = journey.left_s
        with _count_wait(journey):
            lease = await self._lease(journey, target)
        delay_s = _FREED_AFTER_S
        try:
            with _count_wait(journey):
                await wait_turn(target, self._slots, min(self._queue_wait_s, journey.left_s))
            times = {"queue_ms": round((left_s - journey.left_s) * 1000, 1), "left_s": round(journey.left_s, 1)}
            _note_try(logging.DEBUG, "target asked", journey, target, **times)
            await self._carry(journey, target)
            delay_s = 0.0
        except RefusedError:
            delay_s = 0.0
            raise
        finally:
            lease.release(delay_s)

    async def _lease(self, journey: _Journey, target: Target) -> Lease:
        slots = None if journey.call.format.endswith("_count") else target.provider.slots
        wait_s = min(self._queue_wait_s, journey.left_s)
        weight, key = journey.call.answers, journey.call.caller.name
        try:
            return await self._slots.acquire(target.provider.name, slots, weight, key, wait_s)
        except QueueError as error:
            raise TargetError(QUEUE_FULL, retry_after_s=error.retry_after_s) from error

    async def _carry(self, journey: _Journey, target: Target) -> None:
        call, reply, left_s = journey.call, journey.reply, journey.left_s
        reply.target, reply.warning = target.name, find_warning(call, target)
        reply.course.provider = target.provider.name
        if journey.route.provider_key != "never":
            reply.course.key_source = "caller" if journey.has_callers_key(target) else "gateway"
            target = use_key(target, journey.route, call.provider_key)
        if call.format == "embeddings":
            await carry_embeddings(call, target, self._upstream, reply, left_s)
        elif call.format == "rerank":
            await carry_rerank(call, target, self._upstream, reply, left_s)
        elif call.format.endswith("_count"):
            await carry_count(call, target, self._upstream, reply, left_s)
        else:
            request = build_stream_request(call, target, journey.route)
            reply.fail = request.reader.fail
            try:
                await carry_stream(request, target, self._upstream, reply, left_s)
            except TargetError as error:
                if reply.has_begun:
                    reply.code = error.outcome.code
                    await reply.end(request.reader.fail(describe_cut(error, call.asked)))
                raise


def _note_try(level: int, event: str, journey: _Journey, target: Target, **facts: str | float) -> None:
    """Log a try: the request, what it asked for, and what is asked for it."""
    if _LOG.isEnabledFor(level):
        names = {"model": journey.route.name, "target": target.name, "provider": target.provider.name}
        note(_LOG, level, event, {"request": journey.call.request_id, **names, **facts})


@contextmanager
def _count_wait(journey: _Journey) -> Iterator[None]:
    """Add the time that the block takes to the request's time in queues."""
    left_s = journey.left_s
    try:
        yield
    finally:
        journey.reply.course.queue_s += left_s - journey.left_s


def _begin_anew(reply: Reply) -> None:
    """Put aside what a server counted for a try that failed, before the next one counts."""
    if reply.usage:
        reply.course.spent.append(reply.usage)
    reply.usage, reply.course.first_at, reply.course.pieces = None, None, 0


def _choose_delay(attempt: int, error: TargetError, journey: _Journey, is_last: bool) -> float | None:
    """Seconds to wait before the next try: exponential with full jitter, or what the server asked for.

    None when the wait would pass the deadline, or when another target can answer meanwhile.
    """
    delay_s = random.uniform(0, min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**attempt))  # noqa: S311, no secret
    if error.retry_after_s is not None:
        if error.retry_after_s > _LONGEST_DELAY_S and not is_last:
            return None
        delay_s = error.retry_after_s
    return delay_s if delay_s < journey.left_s else None


def _describe(error: TargetError, call: Call) -> ApiError:
    text = (error.text or error.outcome.text).format(model=call.asked)
    param = error.param if error.param and error.param.split(".")[0].split("[")[0] in call.body else None
    if param and not error.text:
        text = f"{text.rstrip('.')}: its server names the field '{param}'."
    return ApiError(error.outcome.status, error.outcome.code, text, param)


def _refuse_key(call: Call) -> ApiError:
    text = f"The server of model '{call.asked[:200]}' refused the key that you sent for it."
    return ApiError(403, "provider_key_refused", text)


def _explain(journey: _Journey) -> ApiError:
    """What the client is told when nothing answered: the last failure, and what was tried before."""
    asked = [item for item in journey.tried if item[1].outcome is not LEFT_OUT]
    last = (asked or journey.tried)[-1][1]
    error = _describe(last, journey.call)
    names = list(dict.fromkeys(item.name for item, _ in journey.tried))
    if len(names) > 1 or len(journey.tried) > 1:
        tries = ", ".join(f"{item.name} ({failure.outcome.code})" for item, failure in journey.tried)
        error = ApiError(error.status, error.code, f"{error.message} Tried: {tries}.", error.param)
    waits = [failure.retry_after_s for _, failure in journey.tried if failure.retry_after_s is not None]
    return ApiError(error.status, error.code, error.message, error.param, retry_after_s=min(waits, default=None))
