"""Under which names the page is shown. Pure.

A page of another site can have its own name lead to this gateway (DNS rebinding), and the browser then takes what is
read here for that site's own. So the name that the browser asked for has to be one of ours. An address is always one:
nobody can make an address lead elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable

from gateway.errors import ApiError, RefusedError

HeaderList = Iterable[tuple[bytes, bytes]]

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_LOOPBACK = "localhost"
_UNKNOWN = ApiError(
    421,
    "unknown_host",
    "The page is not shown under this name. Use the gateway's address, or have its operator put the name into "
    "GATEWAY_HOSTS and restart it.",
)


def read_authority(headers: HeaderList, names: Collection[str]) -> str:
    """The host and the port that the browser asked for, such as ``127.0.0.1:8000``.

    Args:
        names: lower-case names under which the page is shown, beside loopback's and addresses.

    Raises:
        RefusedError: 421, it is none of these, is not said, or is said twice.
    """
    given = [value.strip() for name, value in headers if name == b"host"]
    found = _AUTHORITY.fullmatch(given[0].decode("latin-1").lower()) if len(given) == 1 else None
    if found is None or not _is_known(found[1].removesuffix("."), names):
        raise RefusedError(_UNKNOWN)
    return found[0]


def _is_known(host: str, names: Collection[str]) -> bool:
    if host == _LOOPBACK or host.endswith(f".{_LOOPBACK}") or host in names:
        return True
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
