"""What a request's headers say of the cache. Pure.

A client can always ask for less: ``Cache-Control: no-cache`` for a new answer, which is then kept, ``no-store`` for one
that is neither looked for nor kept, ``max-age`` for one of at most so many seconds. More it can only ask for where the
route's rule is ``asked``, by ``x-gateway-cache: use``; on a route without a cache the header says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from gateway.catalog.values import CacheRule

HEADER = "x-gateway-cache"
HIT = "hit"
_USE = b"use"


class Wish(NamedTuple):
    """What may be done for one request.

    Attributes:
        finds: whether an answer may be one of earlier.
        keeps: whether the answer may be kept.
        max_age_s: age of the oldest answer that is taken.
    """

    finds: bool
    keeps: bool
    max_age_s: float


_NOTHING = Wish(finds=False, keeps=False, max_age_s=0.0)


def read_wish(headers: Iterable[tuple[bytes, bytes]], rule: CacheRule) -> Wish:
    """What the headers of a request leave of a route's rule."""
    said: set[bytes] = set()
    is_asked = rule.when == "always"
    for name, value in headers:
        if name == b"cache-control":
            said.update(part.strip() for part in value.lower().split(b","))
        elif name == b"x-gateway-cache" and value.strip().lower() == _USE:
            is_asked = True
    if not is_asked or b"no-store" in said:
        return _NOTHING
    max_age_s = min((_read_age(part) for part in said), default=math.inf)
    is_new = b"no-cache" in said or max_age_s == 0
    return Wish(not is_new, keeps=True, max_age_s=min(rule.max_age_s, max_age_s))


def _read_age(part: bytes) -> float:
    """The seconds of ``max-age``; 0 for what is no number, as RFC 9111 wants it; no bound for other words."""
    name, _, value = part.partition(b"=")
    if name.strip() != b"max-age":
        return math.inf
    value = value.strip().strip(b'"')
    return float(value) if value.isdigit() and len(value) <= 10 else 0.0
