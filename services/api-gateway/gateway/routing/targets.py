"""Which of a route's targets a request may be sent to. Pure."""

from __future__ import annotations

from gateway.catalog.values import Route, Target
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.lanes.choose import can_serve
from gateway.policy.provider_key import may_be_asked
from gateway.policy.rights import is_local_only


def list_targets(call: Call, route: Route) -> list[Target]:
    """The targets that may be asked and can answer; where none can, those that may, so that one of them says why.

    Raises:
        RefusedError: 403, the key or the route wants local targets alone, or the request those that its own key pays
            for, and there is none.
    """
    allowed = [item for item in route.targets if item.provider.is_local or not is_local_only(call.caller, route)]
    allowed = [item for item in allowed if may_be_asked(item, route, call.is_on_own_key)]
    if not allowed and call.is_on_own_key:
        text = f"Model '{call.asked[:200]}' has no provider that may be asked here with your own key."
        raise RefusedError(ApiError(403, "provider_key_not_taken", text, "model"))
    if not allowed:
        text = f"Model '{call.asked[:200]}' has no server in the building, and no other may be asked here."
        raise RefusedError(ApiError(403, "no_local_target", text, "model"))
    return [target for target in allowed if can_serve(target, call.format)] or allowed
