"""One request to a route with a cache: answered as an equal one was, or by the route, and then kept. Does I/O.

Two equal requests at once are both asked; the later answer stays. A hit counts as a request of its key, and takes no
tokens. What is kept is what the client was sent, whole: answers that failed, that broke off, that are too large or that
another server than the route's first gave because that one failed are not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from gateway.cache.copy import Copy
from gateway.cache.store import MAX_ANSWER_BYTES, Cache, Found, build_entry
from gateway.cache.values import Entry
from gateway.cache.wishes import HEADER, read_wish
from gateway.catalog.values import CacheRule, Route
from gateway.edge.exchange import Exchange
from gateway.edge.limited import admit, serve
from gateway.edge.parts import Parts
from gateway.formats.call import Call
from gateway.observe.metrics import CACHE_RESULTS
from gateway.policy.rights import is_local_only


async def serve_cached(
    parts: Parts, call: Call, route: Route, exchange: Exchange, rule: CacheRule, headers: Iterable[tuple[bytes, bytes]]
) -> None:
    """Answer the call; as ``serve`` where nothing of the cache is wanted.

    Raises:
        RefusedError: the key is over a limit, or no target answered.
    """
    wish, cache = read_wish(headers, rule), parts.cache
    # What a caller's own key at a provider brings is that caller's alone; counting tokens is cheap.
    if cache is None or not wish.keeps or call.provider_key or call.format.endswith("_count"):
        _tell(exchange, route, "skipped")
        await serve(parts, call, route, exchange)
        return
    found = await cache.find(call, route, wish.max_age_s if wish.finds else 0.0)
    if found.entry and (found.entry.is_local or not is_local_only(call.caller, route)):
        await _replay(parts, call, route, exchange, found, found.entry)
        return
    _tell(exchange, route, found.result if wish.finds or found.result != "miss" else "skipped")
    copy = Copy(MAX_ANSWER_BYTES, exchange.listener)
    exchange.listener = copy
    await serve(parts, call, route, exchange)
    if found.digest:
        _keep(cache, call, route, exchange, found, copy)


async def _replay(parts: Parts, call: Call, route: Route, exchange: Exchange, found: Found, entry: Entry) -> None:
    _tell(exchange, route, "hit")
    exchange.headers.append((b"age", b"%d" % found.age_s))
    exchange.target, exchange.warning = entry.target, entry.warning
    await admit(parts, call, route, exchange, is_free=True)
    await (exchange.end(entry.answer) if entry.is_stream else exchange.whole(entry.answer))


def _keep(cache: Cache, call: Call, route: Route, exchange: Exchange, found: Found, copy: Copy) -> None:
    is_fallback = any(target != exchange.target for target, _ in exchange.course.tried)
    is_whole = exchange.status == 200 and exchange.is_complete and not exchange.code
    answer = copy.join()
    if is_whole and answer and not is_fallback:
        cache.keep(
            build_entry(
                found,
                route,
                call.caller.name,
                answer,
                is_stream=call.wants_stream,
                target=exchange.target,
                warning=exchange.warning,
                now=time.time(),
            )
        )


def _tell(exchange: Exchange, route: Route, result: str) -> None:
    exchange.cache = result
    exchange.headers.append((HEADER.encode(), result.encode()))
    CACHE_RESULTS.labels(route.name, result).inc()
