"""Who LiteLLM believes to serve: an ordinary user, always.

Named in the LiteLLM configuration as ``custom_auth``. The gate has already checked the key and removed it, so
nothing here compares keys; LiteLLM never sees one, and an ordinary user cannot administer anything. No I/O.
"""

from __future__ import annotations

from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth
from starlette.requests import Request

from gateway.edge.routes import SCOPE_ROLE


async def authenticate(request: Request, api_key: str | None) -> UserAPIKeyAuth:
    """Give LiteLLM the caller: always the same ordinary user.

    Raises:
        PermissionError: the request did not come through the gate.
    """
    role = request.scope.get(SCOPE_ROLE)
    if role is None:
        raise PermissionError("the request did not pass the gate")
    return UserAPIKeyAuth(user_id=str(role), user_role=LitellmUserRoles.INTERNAL_USER)
