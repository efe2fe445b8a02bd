"""Who calls, and whether that may open an endpoint. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from gateway.errors import ApiError, RefusedError
from gateway.policy.keyring import KeyRing
from gateway.settings import Settings
from gateway.state.values import Caller

HeaderList = Iterable[tuple[bytes, bytes]]

_INVALID = ApiError(
    401, "invalid_api_key", "A valid key is needed, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
)
_EXPIRED = ApiError(401, "key_expired", "This key has expired, or another one has replaced it; ask for a new one.")

_ADMIN, _CLIENT = Caller("admin", is_admin=True), Caller("client")
# Clients send one or two; each costs a comparison before anybody is known.
_MOST_KEYS = 8


def find_caller(headers: HeaderList, settings: Settings, keyring: KeyRing, now: float) -> Caller:
    """Who sent a request with these headers.

    Args:
        keyring: the keys of the database.
        now: the time, in seconds since 1970.

    Raises:
        RefusedError: 401 when the request has no valid key.
    """
    admin, client = settings.admin_key.encode(), settings.client_key.encode()
    caller, is_over = None, False
    for key in _list_keys(headers)[:_MOST_KEYS]:
        # Always compared with each, in constant time, so that the time tells nothing about any.
        is_admin, is_client = hmac.compare_digest(key, admin), hmac.compare_digest(key, client)
        held = keyring.find(key)
        if is_admin:
            caller = _ADMIN
        elif is_client:
            caller = caller or _CLIENT
        elif held and held.is_over(now):
            is_over = True
        elif held:
            caller = caller or held.caller
    if caller is None:
        raise RefusedError(_EXPIRED if is_over else _INVALID)
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
