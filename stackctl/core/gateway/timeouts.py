"""How long one try at one server may take, where nobody said it. Pure."""

from __future__ import annotations

from stackctl.core.gateway.config import Timeouts
from stackctl.core.settings.stackfile import ProviderTimeouts

ENGINE_CONNECT_S = 5
PROVIDER_CONNECT_S = 10
# A provider that has said nothing for two minutes hangs: its fallback gets what is left of the route's deadline.
PROVIDER_FIRST_TOKEN_S = 120
BETWEEN_TOKENS_S = 120


def choose_engine_timeouts(whole_s: float) -> Timeouts:
    """The time-outs of an engine of ours, which may read a long prompt on a CPU for all the time there is."""
    return Timeouts(min(ENGINE_CONNECT_S, whole_s), whole_s, min(BETWEEN_TOKENS_S, whole_s), whole_s)


def choose_provider_timeouts(given: ProviderTimeouts, request_s: float) -> Timeouts:
    """The time-outs of a provider: what `stack.yml` gives, and for the rest what leaves time for another target.

    Args:
        request_s: seconds that one request may take altogether.
    """
    whole = request_s if given.whole is None else given.whole

    def choose(value: float | None, default: float) -> float:
        return min(default, whole) if value is None else value

    return Timeouts(
        choose(given.connect, PROVIDER_CONNECT_S),
        choose(given.first_token, PROVIDER_FIRST_TOKEN_S),
        choose(given.between_tokens, BETWEEN_TOKENS_S),
        whole,
    )
