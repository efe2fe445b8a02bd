"""A caller's own key at a provider, sent in a header, where a route takes one. Pure.

It goes to one provider alone: that of the first of the route's targets which is not local. A fallback at another
provider never sees it, and is not asked at all where the request says that no other key may pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from gateway.catalog.values import Route, Target
from gateway.errors import ApiError, RefusedError

HEADER = "x-provider-key"
ALONE_HEADER = "x-provider-key-only"
_KEY = re.compile(rb"[\x21-\x7e]{1,1024}")


def find_provider_key(headers: Iterable[tuple[bytes, bytes]], route: Route) -> str:
    """The key that a request brings for the provider; empty where it brings none.

    Raises:
        RefusedError: 403, the route takes none, or needs one; 400 for what can be no key.
    """
    sent = [value.strip() for name, value in headers if name == HEADER.encode()]
    if not sent:
        if route.provider_key == "required":
            raise _refuse(403, "provider_key_needed", f"Model '{route.name}' wants your own key for its provider")
        return ""
    if route.provider_key == "never":
        raise _refuse(403, "provider_key_not_taken", f"Model '{route.name}' takes no key for its provider")
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        raise _refuse(400, "invalid_provider_key", "Expected one key of 1 to 1024 ASCII characters without spaces")
    return sent[0].decode()


def wants_own_alone(headers: Iterable[tuple[bytes, bytes]], key: str) -> bool:
    """Whether nothing may be asked but the provider, with the caller's own key: no fallback, no model in the building.

    Args:
        key: the key that the request brings; empty for none.

    Raises:
        RefusedError: 400 for a value other than ``true`` and ``false``; 403, there is no such key.
    """
    sent = [value.strip().lower() for name, value in headers if name == ALONE_HEADER.encode()]
    if any(value not in (b"true", b"false") for value in sent) or len(set(sent)) > 1:
        raise RefusedError(
            ApiError(400, "invalid_provider_key", f"Expected true or false in the header '{ALONE_HEADER}'.")
        )
    if sent[:1] != [b"true"]:
        return False
    if not key:
        raise _refuse(403, "provider_key_needed", f"'{ALONE_HEADER}' wants your own key for the provider")
    return True


def is_callers(target: Target, route: Route) -> bool:
    """Whether a target is at the provider that a caller's own key is for."""
    own = next((item.provider.name for item in route.targets if not item.provider.is_local), None)
    return target.provider.name == own


def may_be_asked(target: Target, route: Route, is_on_own_key: bool) -> bool:
    """Whether nobody's key but the caller's would be used up: outside the building, or anywhere at all."""
    if is_callers(target, route):
        return True
    return not is_on_own_key and (route.provider_key != "required" or target.provider.is_local)


def use_key(target: Target, route: Route, key: str) -> Target:
    """The target as it is asked with the caller's key, where it is for it; else as it is."""
    return replace(target, key=key) if key and is_callers(target, route) else target


def _refuse(status: int, code: str, text: str) -> RefusedError:
    return RefusedError(ApiError(status, code, f"{text}, in the header '{HEADER}'."))
