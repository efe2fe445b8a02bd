"""Who calls, and whether that may open an endpoint. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from gateway.errors import ApiError, RefusedError
from gateway.settings import Settings
from gateway.state.values import Caller

HeaderList = Iterable[tuple[bytes, bytes]]


_ADMIN, _CLIENT = Caller("admin", is_admin=True), Caller("client")


def find_caller(headers: HeaderList, settings: Settings) -> Caller:
    """Who sent a request with these headers.

    Raises:
        RefusedError: 401 when the request has no valid key.
    """
    admin, client = settings.admin_key.encode(), settings.client_key.encode()
    caller = None
    for key in _list_keys(headers):
        # Both are always compared, each in constant time, so that the time tells nothing about either.
        is_admin, is_client = hmac.compare_digest(key, admin), hmac.compare_digest(key, client)
        caller = _ADMIN if is_admin else caller or (_CLIENT if is_client else None)
    if caller is None:
        text = "A valid key is needed, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
        raise RefusedError(ApiError(401, "invalid_api_key", text))
    return caller


def check_admin(caller: Caller) -> None:
    """Refuse everyone but the operator.

    Raises:
        RefusedError: 403.
    """
    if not caller.is_admin:
        raise RefusedError(ApiError(403, "admin_key_needed", "This route needs the admin key."))


def _list_keys(headers: HeaderList) -> list[bytes]:
    keys = []
    for name, value in headers:
        if name == b"x-api-key":
            keys.append(value.strip())
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            keys.append(value[7:].strip())
    return keys
