"""Who calls, and whether that may open an endpoint. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from functools import lru_cache

from gateway.errors import ApiError, RefusedError
from gateway.policy.keyring import KeyRing
from gateway.settings import Settings
from gateway.state.keys import PREFIX, SENT_LENGTH
from gateway.state.values import Caller

HeaderList = Iterable[tuple[bytes, bytes]]

_INVALID = ApiError(
    401, "invalid_api_key", "A valid key is needed, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
)
_EXPIRED = ApiError(401, "key_expired", "This key has expired, or another one has replaced it; ask for a new one.")

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
    known = _list_known(*settings.keys.items())
    caller, is_over = None, False
    for key in _list_keys(headers)[:_MOST_KEYS]:
        # Always compared with each, in constant time, so that the time tells nothing about any.
        found = [own for secret, own in known if hmac.compare_digest(key, secret)]
        held = keyring.find(key)
        if found:
            caller = found[0] if found[0].is_admin else caller or found[0]
        elif held and held.is_over(now):
            is_over = True
        elif held:
            caller = caller or held.caller
    if caller is None:
        raise RefusedError(_EXPIRED if is_over else _INVALID)
    return caller


@lru_cache
def _list_known(*keys: tuple[str, str]) -> tuple[tuple[bytes, Caller], ...]:
    """The keys of the environment and who sends them, for as long as they are the same."""
    return tuple((secret.encode(), Caller(name, is_admin=name == "admin")) for name, secret in keys)


def has_form_of_key(headers: HeaderList) -> bool:
    """Whether something in them has the form of a key that is given out here."""
    return any(key.startswith(PREFIX.encode()) and len(key) == SENT_LENGTH for key in _list_keys(headers)[:_MOST_KEYS])


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
