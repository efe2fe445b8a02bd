"""Under which names the service may be asked, and whose pages may ask it. Pure.

A page of another site can have its own name lead to this service (DNS rebinding), so the name that a client asks for
has to be one of ours. An address is always one: nobody can make an address lead elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_LOOPBACK = "localhost"


def is_host_allowed(hosts: Collection[str], allowed: Collection[str]) -> bool:
    """Whether a request with these Host headers is for us."""
    found = _AUTHORITY.fullmatch(next(iter(hosts)).strip().lower()) if len(hosts) == 1 else None
    return found is not None and _is_known(found[1].removesuffix("."), allowed)


def is_origin_allowed(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Whether no page asks, or one of ours does: of the same host and port, or of a name in the list.

    Args:
        headers: by lower-case names, with the first value of each.
    """
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    scheme, mark, authority = origin.strip().lower().partition("://")
    found = _AUTHORITY.fullmatch(authority)
    if not mark or scheme not in ("http", "https") or found is None:
        return False
    return authority == headers.get("host", "").strip().lower() or found[1] in allowed


def _is_known(host: str, allowed: Collection[str]) -> bool:
    if host == _LOOPBACK or host.endswith(f".{_LOOPBACK}") or host in allowed:
        return True
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
