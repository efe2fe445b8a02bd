"""Whether the running gateway counts limits together with others, where its settings say so.

In: effects. Out: findings. Does I/O through its effects: asks the running gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.apps.redis import SERVICE
from stackctl.core.health.probes import read_json
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.settings import split_names
from stackctl.errors import Finding, Severity

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings
    from stackctl.operations.effects import Effects

_ASK_S = 3.0
_RULES = {"local": "each gateway counts alone", "refuse": "what has limits is refused"}


def check_limits(effects: Effects, settings: Settings) -> tuple[Finding, ...]:
    """A warning where Redis is away; that the gateway does not run or hangs is for others to say."""
    if not _is_shared(settings):
        return ()
    answer = effects.network.fetch(
        f"{find_gateway_url(settings)}/health", key=settings.gateway_admin_key, timeout_s=_ASK_S
    )
    limits = (read_json(answer) or {}).get("limits")
    if not isinstance(limits, dict) or limits.get("status") != "away":
        return ()
    rule = _RULES.get(str(limits.get("rule")), "")
    message = f"Redis at {limits.get('redis')} {limits.get('reason')}; meanwhile {rule}"
    hint = "start it, or correct GATEWAY_REDIS_URL and its password; the gateway finds it again by itself"
    return (Finding("limits", message, hint, Severity.WARNING),)


def _is_shared(settings: Settings) -> bool:
    return bool(settings.gateway_redis_url) or SERVICE in split_names(settings.stack_apps)
