"""How long one try at one server may take, where nobody said it. Pure."""

from __future__ import annotations

from stackctl.core.gateway.config import Timeouts

ENGINE_CONNECT_S = 5
PROVIDER_CONNECT_S = 10
# A provider that has said nothing for two minutes hangs: its fallback gets what is left of the route's deadline.
PROVIDER_FIRST_TOKEN_S = 120
BETWEEN_TOKENS_S = 120


def choose_engine_timeouts(whole_s: float) -> Timeouts:
    """The time-outs of an engine of ours, which may read a long prompt on a CPU for all the time there is."""
    return Timeouts(min(ENGINE_CONNECT_S, whole_s), whole_s, min(BETWEEN_TOKENS_S, whole_s), whole_s)


def choose_provider_timeouts(whole_s: float) -> Timeouts:
    """The time-outs of a provider."""
    return Timeouts(
        min(PROVIDER_CONNECT_S, whole_s),
        min(PROVIDER_FIRST_TOKEN_S, whole_s),
        min(BETWEEN_TOKENS_S, whole_s),
        whole_s,
    )
