"""The limits of a target: requests and tokens a minute, requests at once, the pace of its provider.

Does I/O through the queue's arbiter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.catalog.values import Route, Target
from gateway.formats.call import Call
from gateway.observe.usage_rows import is_count
from gateway.outcomes import LIMIT_REACHED, TargetError
from gateway.queue.bounds import Admission, Bounds, Cost, OverLimitError, Standing
from gateway.queue.line import QueueError
from gateway.queue.slots import SlotQueue
from gateway.routing.estimate import estimate_cost

_UNBOUND = Bounds()


def _do_nothing(tokens: int | None) -> None:
    """What ends a request that nothing was counted of."""


async def enter(target: Target, slots: SlotQueue, call: Call, route: Route) -> Admission:
    """Count a request that is about to be sent.

    Raises:
        TargetError: a limit is reached; says when there is room again.
    """
    limits = target.limits
    # A configuration of LiteLLM's may say 0 where it means no limit.
    bounds = Bounds(
        limits.requests_per_minute or None, limits.tokens_per_minute or None, limits.parallel_requests or None
    )
    if bounds == _UNBOUND:
        return Admission(Standing(), _do_nothing)
    cost = estimate_cost(call, route) if bounds.counts_tokens else Cost()
    try:
        return await slots.enter(f"target {target.name}", bounds, cost)
    except OverLimitError as over:
        raise TargetError(LIMIT_REACHED, retry_after_s=over.wait_s) from over
    except QueueError as error:
        raise TargetError(LIMIT_REACHED, retry_after_s=error.retry_after_s) from error


async def wait_turn(target: Target, slots: SlotQueue, longest_s: float) -> None:
    """Wait until the target's provider may be asked again, where it has a shortest time between two requests.

    Raises:
        TargetError: the turn would come later than in ``longest_s`` seconds.
    """
    interval_s = target.provider.min_interval_s
    if not interval_s:
        return
    try:
        wait_s = await slots.take_turn(f"provider {target.provider.name}", interval_s, longest_s)
    except QueueError as error:
        raise TargetError(LIMIT_REACHED, retry_after_s=error.retry_after_s) from error
    if wait_s > longest_s:
        raise TargetError(LIMIT_REACHED, retry_after_s=wait_s - max(longest_s, 0.0))
    if wait_s > 0:
        await asyncio.sleep(wait_s)


def count_tokens(usage: Mapping[str, Any] | None, has_begun: bool) -> int | None:
    """The tokens that a request took, as its server counted them.

    Returns:
        0 for a request that nobody answered; None for an answer that began and was not counted.
    """
    if not usage:
        return None if has_begun else 0
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    return sum(count for count in counts if isinstance(count, int) and is_count(count))
