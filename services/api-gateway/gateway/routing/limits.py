"""The limits of a target: requests and tokens a minute, requests at once. Does I/O through the queue's arbiter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.catalog.values import Target
from gateway.outcomes import LIMIT_REACHED, TargetError
from gateway.queue.line import QueueError
from gateway.queue.slots import Lease, SlotQueue


async def enter(target: Target, slots: SlotQueue) -> Lease:
    """Count a request that is about to be sent; the lease is one of those that may run at once.

    Raises:
        TargetError: a limit is reached; says when there is room again.
    """
    limits = target.limits
    lease = await _take_place(target, slots)
    try:
        # Tokens first: they are counted afterwards, so that a refusal here has spent nothing.
        if limits.tokens_per_minute:
            _check(await slots.spend(_name_tokens(target), limits.tokens_per_minute, 0))
        if limits.requests_per_minute:
            _check(await slots.spend(f"requests of {target.name}", limits.requests_per_minute, 1))
    except BaseException:
        lease.release()
        raise
    return lease


async def _take_place(target: Target, slots: SlotQueue) -> Lease:
    try:
        return await slots.acquire(f"limit of {target.name}", target.limits.parallel_requests, 1, "", 0.0)
    except QueueError as error:
        raise TargetError(LIMIT_REACHED, retry_after_s=error.retry_after_s) from error


def _check(wait_s: float) -> None:
    if wait_s > 0:
        raise TargetError(LIMIT_REACHED, retry_after_s=wait_s)


def settle(target: Target, slots: SlotQueue, usage: Mapping[str, Any] | None) -> None:
    """Count the tokens of an answer, as its server counted them."""
    if target.limits.tokens_per_minute and usage:
        counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
        slots.add(_name_tokens(target), sum(count for count in counts if isinstance(count, int)))


def _name_tokens(target: Target) -> str:
    return f"tokens of {target.name}"
