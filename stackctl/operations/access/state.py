"""Whether the running gateway can use its state: it goes on without, with the keys that it knows or those of `.env`.

In: effects. Out: findings. Does I/O through its effects: asks the running gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.health.gateway_state import find_unusable_cache, find_unusable_state
from stackctl.core.settings.places import find_gateway_url
from stackctl.errors import Finding, RuntimeFailure, Severity

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings
    from stackctl.operations.effects import Effects

_ASK_S = 3.0
_UNAVAILABLE = 503


def check_state(effects: Effects, settings: Settings) -> tuple[Finding, ...]:
    """Warnings where the gateway runs and has no state, or no cache; whether it runs is for others to say."""
    url = find_gateway_url(settings)
    health = effects.network.fetch(f"{url}/health", key=settings.gateway_admin_key, timeout_s=_ASK_S)
    found = find_unusable_cache(health), find_unusable_state(health) or _check_keys(effects, url, settings)
    return tuple(filter(None, found))


def _check_keys(effects: Effects, url: str, settings: Settings) -> Finding | None:
    try:
        reply = effects.network.post_action(url, settings.gateway_admin_key, {"do": "keys.list"}, _ASK_S)
    except RuntimeFailure:
        return None
    if reply is None or reply.status != _UNAVAILABLE:
        return None
    said = str(reply.error.get("message") or "")
    message = f"the gateway's keys are not known and usage is not counted: {said}"
    hint = "mend what it names, then run 'stackctl restart api-gateway'; until then GATEWAY_KEY alone opens it"
    return Finding("state", message, hint, Severity.WARNING)
