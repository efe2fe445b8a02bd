"""One request within the limits of its key: let in, told what is left, answered. Does I/O through what it is given.

``Exchange`` settles it, with the numbers that the usage records get.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

from gateway.catalog.values import Route
from gateway.edge.exchange import Exchange, Headers
from gateway.edge.parts import Parts
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.queue.bounds import Admission, Cost, Gauge, OverLimitError, Standing
from gateway.queue.line import QueueError
from gateway.routing.estimate import estimate_cost
from gateway.routing.key_limits import KeyLimits, build_bounds, explain
from gateway.shared.limits import LimitsAwayError
from gateway.state.values import Key

# Both SDKs wait as long as Retry-After says up to a minute; what is longer they try again at once, in vain.
_LONGEST_RETRY_S = 60.0
# Between the arbiter's look at the clock and ours: midnight is to stay midnight.
_JUST_S = 0.1
AWAY_TEXT = "Limits cannot be counted now, and nothing that has limits is answered meanwhile; try again soon."


async def serve(parts: Parts, call: Call, route: Route, exchange: Exchange) -> None:
    """Answer the call, within the limits of the key that asks.

    Raises:
        RefusedError: the key is over a limit, or no target answered.
    """
    await admit(parts, call, route, exchange)
    await parts.router.serve(call, route, exchange)


async def admit(parts: Parts, call: Call, route: Route, exchange: Exchange, is_free: bool = False) -> None:
    """Let the call in, within the limits of the key that asks, and tell what is left of them.

    Args:
        is_free: whether no token is taken: the request alone counts.

    Raises:
        RefusedError: 429, the key is over a limit.
    """
    key = call.caller.key
    if key is None or parts.key_limits is None or not key.terms.has_limits:
        return
    cost = estimate_cost(call, route) if build_bounds(key).counts_tokens and not is_free else Cost()
    exchange.admission = await _enter(parts.key_limits, key, cost, exchange)
    exchange.headers += list_limit_headers(exchange.admission.standing, exchange.is_anthropic)


async def _enter(limits: KeyLimits, key: Key, cost: Cost, exchange: Exchange) -> Admission:
    try:
        return await limits.enter(key, cost)
    except OverLimitError as over:
        exchange.headers += list_limit_headers(over.standing, exchange.is_anthropic)
        if over.wait_s is None or over.wait_s > _LONGEST_RETRY_S:
            exchange.headers.append((b"x-should-retry", b"false"))
        raise RefusedError(explain(key, over)) from over
    except LimitsAwayError as error:
        raise RefusedError(ApiError(503, "limits_unavailable", AWAY_TEXT, retry_after_s=error.retry_after_s)) from error
    except QueueError as error:
        text = "The gateway is stopping."
        raise RefusedError(ApiError(503, "shutting_down", text, retry_after_s=error.retry_after_s)) from error


def list_limit_headers(standing: Standing, is_anthropic: bool) -> Headers:
    """The headers by which the clients of OpenAI and of Anthropic learn what is left, each in its own names."""
    headers: Headers = []
    for kind, gauge in (("requests", standing.requests), ("tokens", standing.tokens)):
        if gauge is None:
            continue
        for what, value in _list_values(gauge, is_anthropic):
            name = f"anthropic-ratelimit-{kind}-{what}" if is_anthropic else f"x-ratelimit-{what}-{kind}"
            headers.append((name.encode(), value.encode()))
    return headers


def _list_values(gauge: Gauge, is_anthropic: bool) -> tuple[tuple[str, str], ...]:
    reset = _write_moment(time.time() + gauge.reset_s) if is_anthropic else write_duration(gauge.reset_s)
    return ("limit", str(gauge.limit)), ("remaining", str(gauge.left)), ("reset", reset)


def write_duration(seconds: float) -> str:
    """A time as OpenAI writes it: ``17ms``, ``59s``, ``6m0s``, ``23h59m1s``; rounded up."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _write_moment(moment_s: float) -> str:
    """A moment of UTC as RFC 3339 writes it, rounded up to a second; what is just past one is that one."""
    return datetime.fromtimestamp(math.ceil(moment_s - _JUST_S), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
