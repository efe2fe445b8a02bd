"""The limits of a target and of its provider: requests and tokens a minute, requests at once, the provider's pace.

Does I/O through the queue's arbiter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.catalog.values import Limits, Route, Target
from gateway.formats.call import Call
from gateway.observe.usage_rows import is_count
from gateway.outcomes import LIMIT_REACHED, LIMITS_AWAY, TargetError
from gateway.queue.bounds import Admission, Bounds, Cost, OverLimitError, Standing
from gateway.queue.line import QueueError
from gateway.queue.slots import SlotQueue
from gateway.routing.estimate import estimate_cost
from gateway.shared.limits import LimitsAwayError

_UNBOUND = Bounds()
_FREE = Limits()
_PROVIDER_FULL = "The provider of model '{model}' has reached its limit of requests or tokens."


def _do_nothing(tokens: int | None) -> None:
    """What ends a request that nothing was counted of."""


async def enter(target: Target, slots: SlotQueue, call: Call, route: Route) -> Admission:
    """Count a request that is about to be sent.

    Raises:
        TargetError: a limit is reached; says when there is room again.
    """
    provider = target.provider
    if target.limits == _FREE and provider.limits == _FREE:
        return Admission(Standing(), _do_nothing)
    pairs = [(f"target {target.name}", _build_bounds(target.limits))]
    pairs.append((f"provider {provider.name}", _build_bounds(provider.limits)))
    pairs = [(name, bounds) for name, bounds in pairs if bounds != _UNBOUND]
    if not pairs:
        return Admission(Standing(), _do_nothing)
    cost = estimate_cost(call, route) if any(bounds.counts_tokens for _, bounds in pairs) else Cost()
    (name, bounds), *more = pairs
    try:
        return await slots.enter(name, bounds, cost, more=more)
    except OverLimitError as over:
        text = _PROVIDER_FULL if (over.name or name) == f"provider {provider.name}" else ""
        raise TargetError(LIMIT_REACHED, retry_after_s=over.wait_s, text=text) from over
    except LimitsAwayError as error:
        raise TargetError(LIMITS_AWAY, retry_after_s=error.retry_after_s) from error
    except QueueError as error:
        raise TargetError(LIMIT_REACHED, retry_after_s=error.retry_after_s) from error


def _build_bounds(limits: Limits) -> Bounds:
    # A configuration of LiteLLM's may say 0 where it means no limit.
    return Bounds(
        limits.requests_per_minute or None, limits.tokens_per_minute or None, limits.parallel_requests or None
    )


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
    except LimitsAwayError as error:
        raise TargetError(LIMITS_AWAY, retry_after_s=error.retry_after_s) from error
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
