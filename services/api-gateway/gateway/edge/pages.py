"""What browsers show to people: the page, its files, and what a key itself used. Does I/O: the database."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from gateway.admin.actions import explain_no_state
from gateway.edge.endpoints import PAGE, Endpoint
from gateway.edge.exchange import Exchange
from gateway.edge.parts import Parts
from gateway.errors import RefusedError
from gateway.page.hosts import read_authority
from gateway.page.language import choose_language
from gateway.page.render import SECURITY_HEADERS, read_file, render_page
from gateway.queue.tally import find_span
from gateway.routing.key_limits import sum_usage
from gateway.state.connection import StateError
from gateway.state.database import Database
from gateway.state.usage import UsageSum, report_days_of_key
from gateway.state.values import Caller

if TYPE_CHECKING:
    from gateway.edge.asgi import Scope

USAGE_DAYS = 30
_DAY_S = 86_400
_LIMITS = ("requests_per_minute", "tokens_per_minute", "parallel_requests")


async def serve_page(exchange: Exchange, endpoint: Endpoint, scope: Scope, names: Collection[str]) -> None:
    """Answer with the page or one of its files; both are open to everybody, and say nothing of models or their use.

    Args:
        names: see ``read_authority``.

    Raises:
        RefusedError: 421, the browser asked under a name that is not ours.
    """
    authority = read_authority(scope["headers"], names)
    exchange.headers += SECURITY_HEADERS
    if endpoint is not PAGE:
        body, content_type = read_file(endpoint.name.rpartition("/")[2])
        await exchange.answer(200, body, content_type)
        return
    # A proxy in front says what the browser spoke; it decides nothing but how the page writes its own address.
    is_secure = any(name == b"x-forwarded-proto" and value == b"https" for name, value in scope["headers"])
    language = choose_language(scope["headers"], scope["query_string"])
    body = render_page(authority, "https" if is_secure else "http", language)
    headers = [(b"vary", b"accept-language"), (b"content-language", language.encode())]
    await exchange.answer(200, body, b"text/html; charset=utf-8", headers)


async def serve_usage(exchange: Exchange, parts: Parts, scope: Scope, names: Collection[str]) -> None:
    """Answer with what the caller's own key took in the last days, and what its limits are.

    Raises:
        RefusedError: 421 as for the page; 503, there is no database, or it does not answer.
    """
    read_authority(scope["headers"], names)
    exchange.headers += SECURITY_HEADERS
    if parts.database is None:
        raise RefusedError(explain_no_state())
    try:
        answer = await _describe_usage(parts.database, exchange.caller, time.time())
    except StateError as error:
        raise RefusedError(explain_no_state("it does not answer")) from error
    await exchange.answer_json(answer)


async def _describe_usage(database: Database, caller: Caller, now: float) -> dict[str, Any]:
    since = (now // _DAY_S - USAGE_DAYS + 1) * _DAY_S
    if caller.key:
        since = max(since, caller.key.created_at)  # another key may have had the name before
    rows = await database.read(lambda connection: report_days_of_key(connection, caller.name, since))
    answer: dict[str, Any] = {
        "key": caller.name,
        "days": [row._asdict() for row in rows],
        "total": {name: sum(getattr(row, name) for row in rows) for name in UsageSum._fields[1:]},
    }
    if caller.key is None:
        return answer
    terms = caller.key.terms
    limits = {name: getattr(terms, name) for name in _LIMITS if getattr(terms, name) is not None}
    answer |= {"limits": limits, "expires_at": caller.key.expires_at}
    if terms.budget_tokens is not None:
        span = find_span(terms.budget_period, now)
        used = await sum_usage(database, caller.key, span)
        answer["budget"] = {
            "tokens": terms.budget_tokens,
            "used": used,
            "period": terms.budget_period,
            "ends_at": span.end_s,
        }
    return answer
