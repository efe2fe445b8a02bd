"""What gateways do while their Redis is killed, frozen, not there yet or takes no writes, and once it is back."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn
from stackctl.core.drill.faults import OK
from tests.integration.gateway.gates import CHAT, TIMEOUT_S
from tests.integration.gateway.limited import (
    BODY,
    COUNTED_TOKENS,
    NEVER_ENDS,
    ask_at_once,
    build_headers,
    count_answers,
    give_key,
)
from tests.integration.gateway.shared.shared_gates import Open, ask, look, read_log, wait_shared
from tests.redis_server import RedisServer
from tests.waiting import wait_for


def test_killed_redis_and_the_gateway_counts_alone(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis) as gate:
        key = give_key(gate, requests_per_minute=5, parallel_requests=3)
        assert ask(gate, key).status_code == 200
        redis.kill()
        answers = [ask(gate, key).status_code for _ in range(8)]
        assert answers == [200] * 5 + [429] * 3, "counted anew, and exactly"
        assert look(gate) | {"reason": ""} == {
            "redis": f"127.0.0.1:{redis.port}", "status": "away", "reason": "", "rule": "local"
        }  # fmt: skip
        assert read_log(gate).count('"limits are not shared"') >= 1
        redis.start()
        wait_shared(gate)
        assert [ask(gate, key).status_code for _ in range(5)] == [200] * 4 + [429], "with what Redis had counted"


def test_what_was_used_of_a_budget_while_redis_was_away_is_told_when_it_is_back(
    open_gate: Open, redis: RedisServer
) -> None:
    with open_gate("a", redis) as one, open_gate("b", redis) as other:
        keys = [give_key(gate, budget_tokens=1000) for gate in (one, other)]
        assert ask(one, keys[0]).status_code == 200
        redis.kill()
        assert [ask(one, keys[0]).status_code for _ in range(3)] == [200] * 3
        redis.start()
        for gate in (one, other):
            wait_shared(gate)
        reserved = 80 + len(json.dumps(BODY, separators=(",", ":"))) // 4
        left = int(ask(other, keys[1]).headers["x-ratelimit-remaining-tokens"])
        assert left == 1000 - 4 * COUNTED_TOKENS - reserved


def test_killed_redis_and_what_has_limits_is_refused(open_gate: Open, redis: RedisServer, provider: StandIn) -> None:
    with open_gate("a", redis, GATEWAY_REDIS_AWAY="refuse") as gate:
        key = give_key(gate, requests_per_minute=5, parallel_requests=1)
        provider.script("chat", NEVER_ENDS, OK)
        with gate.clients[0].stream("POST", CHAT, json={**BODY, "stream": True}, headers=build_headers(key)) as held:
            lines = held.iter_lines()  # a generator that is thrown away closes the answer
            assert next(lines)
            redis.kill()
        refused = ask(gate, key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "limits_unavailable")
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert ask(gate, model="small").json()["error"]["code"] == "limits_unavailable"
        assert ask(gate).status_code == 200, "what has no limits needs no Redis"
        redis.start()
        wait_shared(gate)
        wait_for(lambda: ask(gate, key).status_code == 200, "the place of the request that ended meanwhile")


def test_killed_and_started_again_under_load_nothing_fails_but_by_the_rule(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis, workers=2) as gate:
        key = give_key(gate, requests_per_minute=100_000, parallel_requests=500)

        async def run() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=gate.gateway.url, timeout=TIMEOUT_S) as client:
                answers: list[httpx.Response] = []

                async def send() -> None:
                    for _ in range(25):
                        answer = await client.post(CHAT, json=BODY, headers=build_headers(key))
                        answers.append(answer)

                sending = [asyncio.create_task(send()) for _ in range(8)]
                while len(answers) < 40:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(redis.kill)
                while len(answers) < 120:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(redis.start)
                await asyncio.gather(*sending)
                return answers

        assert count_answers(asyncio.run(run())) == {200: 200}
        assert "Traceback" not in read_log(gate)
        wait_shared(gate)
        assert ask(gate, key).status_code == 200


@pytest.mark.parametrize(("rule", "status"), [("local", 200), ("refuse", 503)])
def test_a_frozen_redis_holds_nobody_up(open_gate: Open, redis: RedisServer, rule: str, status: int) -> None:
    with open_gate("a", redis, GATEWAY_REDIS_AWAY=rule) as gate:
        key = give_key(gate, requests_per_minute=500)
        assert ask(gate, key).status_code == 200
        with redis.frozen():
            # All of them end while it still stands.
            assert {answer.status_code for answer in ask_at_once([(gate, key)], 20)} == {status}
            assert look(gate)["reason"] == "does not answer"
            assert ask(gate, key).status_code == status
        wait_shared(gate)
        assert int(ask(gate, key).headers["x-ratelimit-remaining-requests"]) >= 500 - 22


def test_a_gateway_starts_while_redis_is_away_and_shares_when_it_is_there(open_gate: Open, redis: RedisServer) -> None:
    redis.kill()
    with open_gate("a", redis) as gate:
        key = give_key(gate, requests_per_minute=2)
        assert [ask(gate, key).status_code for _ in range(3)] == [200, 200, 429]
        redis.start()
        wait_shared(gate)
        assert [ask(gate, key).status_code for _ in range(3)] == [200, 200, 429]


def test_a_redis_that_takes_no_writes_counts_as_away(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis) as gate:
        key = give_key(gate, requests_per_minute=2)
        redis.ask("replicaof", "127.0.0.1", "1")
        assert [ask(gate, key).status_code for _ in range(3)] == [200, 200, 429]
        assert look(gate)["reason"] == "refuses to count (READONLY)"
        redis.ask("replicaof", "no", "one")
        assert ask(gate, key).status_code == 200
        assert look(gate)["status"] == "ok"


def test_what_a_redis_that_takes_no_writes_was_not_told_is_told_later(
    open_gate: Open, redis: RedisServer, provider: StandIn
) -> None:
    with open_gate("a", redis) as one, open_gate("b", redis) as other:
        keys = [give_key(gate, budget_tokens=1000, parallel_requests=2) for gate in (one, other)]
        provider.script("chat", NEVER_ENDS, OK)
        with one.clients[0].stream("POST", CHAT, json={**BODY, "stream": True}, headers=build_headers(keys[0])) as held:
            lines = held.iter_lines()  # a generator that is thrown away closes the answer
            assert next(lines)
            redis.ask("replicaof", "127.0.0.1", "1")
        assert [ask(one, keys[0]).status_code for _ in range(3)] == [200] * 3
        redis.ask("replicaof", "no", "one")
        assert ask(one, keys[0]).status_code == 200
        wait_shared(one)
        kept = "gateway:limits:key ada"
        wait_for(lambda: redis.ask("hget", f"{kept}:b", "held") == "0", "what ended meanwhile to be settled")
        assert redis.ask("zcard", f"{kept}:p") == "0"
        used = int(redis.ask("hget", f"{kept}:b", "used"))
        assert 4 * COUNTED_TOKENS <= used < 5 * COUNTED_TOKENS + 80, "with the answer that was left"
