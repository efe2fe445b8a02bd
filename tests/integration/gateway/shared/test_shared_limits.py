"""Several gateways at one real Redis: what they count together, and at what cost."""

from __future__ import annotations

import re

import pytest

from stackctl.adapters.http.stand_in import StandIn
from stackctl.core.drill.faults import OK
from tests.integration.gateway.gates import CHAT
from tests.integration.gateway.limited import (
    BODY,
    COUNTED_TOKENS,
    NEVER_ENDS,
    ask_at_once,
    build_headers,
    count_answers,
    give_key,
)
from tests.integration.gateway.shared.shared_gates import Open, ask
from tests.redis_server import RedisServer
from tests.waiting import wait_for


def test_two_gateways_hold_one_key_to_one_limit(open_gate: Open, redis: RedisServer, provider: StandIn) -> None:
    with open_gate("a", redis) as one, open_gate("b", redis, workers=2) as other:
        give_key(one, "bob", requests_per_minute=1)  # so that ada's number is not the same in both
        keys = [(gate, give_key(gate, requests_per_minute=20)) for gate in (one, other)]
        answers = ask_at_once(keys, 30)
        assert count_answers(answers) == {200: 20, 429: 40}
        assert provider.total.count == 20
        left = sorted(int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers)
        assert left == [0] * 40 + list(range(20))
        waits = {int(answer.headers["retry-after"]) for answer in answers if answer.status_code == 429}
        assert all(50 <= wait <= 60 for wait in waits)


@pytest.mark.parametrize(("model", "limit"), [("small", 10), ("capped", 12)])
def test_two_gateways_hold_a_model_and_a_provider_to_one_limit(
    open_gate: Open, redis: RedisServer, provider: StandIn, model: str, limit: int
) -> None:
    with open_gate("a", redis) as one, open_gate("b", redis) as other:
        answers = ask_at_once([(gate, gate.gateway.key) for gate in (one, other)], 15, model=model)
        assert count_answers(answers) == {200: limit, 429: 30 - limit}
        assert provider.total.count == limit


def test_tokens_places_and_a_budget_are_settled_for_all(open_gate: Open, redis: RedisServer, provider: StandIn) -> None:
    with open_gate("a", redis) as one, open_gate("b", redis) as other:
        terms = {"parallel_requests": 1, "budget_tokens": 1000, "tokens_per_minute": 500}
        keys = [give_key(gate, **terms) for gate in (one, other)]  # type: ignore[arg-type]
        provider.script("chat", NEVER_ENDS, OK)
        with one.clients[0].stream("POST", CHAT, json={**BODY, "stream": True}, headers=build_headers(keys[0])) as held:
            lines = held.iter_lines()  # a generator that is thrown away closes the answer
            assert next(lines)
            refused = ask(other, keys[1])
            assert "1 request under way at once" in refused.text
        wait_for(lambda: ask(other, keys[1]).status_code == 200, "the place to come back")
        before = int(ask(other, keys[1]).headers["x-ratelimit-remaining-tokens"])
        after = int(ask(one, keys[0]).headers["x-ratelimit-remaining-tokens"])
        assert before - after == COUNTED_TOKENS


def test_a_request_asks_once_for_all_limits_of_its_key(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis) as gate:
        key = give_key(
            gate, requests_per_minute=100, parallel_requests=9, tokens_per_minute=100_000, budget_tokens=10**6
        )
        ask(gate, key)  # the first one is told to bring what was used before
        redis.ask("config", "resetstat")
        for _ in range(10):
            assert ask(gate, key).status_code == 200
        stats = wait_for(lambda: found if "calls=20" in (found := redis.ask("info", "commandstats")) else None, "both")
        assert re.search(r"cmdstat_evalsha:calls=20,.*failed_calls=0", stats), "one that is waited for, one that tells"
        ask(gate)  # of a key without limits
        assert "cmdstat_evalsha:calls=20," in redis.ask("info", "commandstats")


def test_a_script_that_redis_has_forgotten_is_sent_again(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis) as gate:
        key = give_key(gate, requests_per_minute=2)
        assert ask(gate, key).status_code == 200
        redis.ask("script", "flush")
        assert [ask(gate, key).status_code for _ in range(2)] == [200, 429]
