"""Several gateways at one real Redis: what they count together, and what is done while it is killed or frozen."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.core.drill.behaviour import Behaviour
from stackctl.core.drill.faults import OK
from tests.certificates import make_company
from tests.integration.gateway.drilled import run_gateway
from tests.integration.gateway.gates import CHAT, TIMEOUT_S, Gate
from tests.redis_server import PASSWORD, RedisServer, run_redis
from tests.waiting import wait_for

BODY = {"model": "chat", "messages": [{"role": "user", "content": "How far can you count?"}], "max_tokens": 80}
COUNTED_TOKENS = 11
NEVER_ENDS = Behaviour(hang="between_tokens")

Open = Callable[..., AbstractContextManager[Gate]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with run_redis(make_folder(tmp_path, "redis")) as server:
        yield server


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with run_stand_in() as running:
        yield running


@pytest.fixture
def open_gate(provider: StandIn, tmp_path: Path) -> Open:
    """Starts gateways, each with a state of its own."""

    @contextmanager
    def open_one(name: str, server: RedisServer, workers: int = 1, **settings: str) -> Iterator[Gate]:
        parameters = {"api_base": f"{provider.url}/v1", "api_key": "k", "model": "openai/chat"}
        models = [
            {"model_name": "chat", "litellm_params": parameters},
            {"model_name": "small", "litellm_params": {**parameters, "rpm": 10}},
            {"model_name": "capped", "litellm_params": parameters},
        ]
        own = {
            "providers": {"far": {"kind": "openai"}, "few": {"kind": "openai", "rpm": 12}},
            "models": {"chat": {"provider": "far"}, "small": {"provider": "far"}, "capped": {"provider": "few"}},
        }
        state = {"GATEWAY_STATE": str(tmp_path / name), "GATEWAY_WORKERS": str(workers)}
        configuration = json.dumps({"model_list": models, "gateway": own})
        with ExitStack() as stack, run_gateway(configuration, **state, **(server.environment | settings)) as gateway:
            yield Gate(gateway, workers, stack)

    return open_one


def make_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def give_key(gate: Gate, name: str = "ada", **terms: Any) -> str:
    key = gate.create(name, **terms)
    for client in gate.clients:
        wait_for(partial(knows, client, key), "a worker to know the key")
    return key


def knows(client: httpx.Client, key: str) -> bool:
    return client.get("/v1/models", headers=build_headers(key)).status_code == 200


def build_headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ask(gate: Gate, key: str = "", **changes: Any) -> httpx.Response:
    return gate.clients[0].post(CHAT, json={**BODY, **changes}, headers=build_headers(key or gate.gateway.key))


def ask_at_once(asked: list[tuple[Gate, str]], number: int, **changes: Any) -> list[httpx.Response]:
    """Send requests to all gateways at the same time, each over a connection of its own."""

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits) as client:
            sent = [
                client.post(f"{gate.gateway.url}{CHAT}", json={**BODY, **changes}, headers=build_headers(key))
                for _ in range(number)
                for gate, key in asked
            ]
            return await asyncio.gather(*sent)

    return asyncio.run(run())


def count_answers(answers: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(answer.status_code for answer in answers))


def look(gate: Gate) -> dict[str, str]:
    """What the first worker says of its limits."""
    found = gate.clients[0].get("/health", headers=build_headers(gate.gateway.admin_key)).json()["limits"]
    assert isinstance(found, dict)
    return found


def wait_shared(gate: Gate) -> None:
    wait_for(lambda: look(gate)["status"] == "ok", "limits to be shared")


def read_log(gate: Gate) -> str:
    return gate.gateway.log.read_text(encoding="utf-8")


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


def test_a_wrong_password_is_said_and_stands_nowhere(open_gate: Open, redis: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("planted-wrong-password\n")
    wrong = {"GATEWAY_REDIS_PASSWORD": "", "GATEWAY_REDIS_PASSWORD_FILE": str(file)}
    with open_gate("a", redis, **wrong) as gate:
        assert look(gate)["reason"] == "refused the password (WRONGPASS)"
        assert "planted" not in read_log(gate) + json.dumps(look(gate))
        assert b"planted" not in Path(f"/proc/{gate.gateway.pid}/cmdline").read_bytes()
        file.write_text(f"{PASSWORD}\n")  # read again with each try
        wait_shared(gate)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "has a password file that cannot be read: No such file or directory"),
        (b"\xff\xfe", "has a password file that cannot be read: it is no text"),
    ],
)
def test_a_gateway_starts_without_its_password_file(
    open_gate: Open, redis: RedisServer, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    wrong = {"GATEWAY_REDIS_PASSWORD": "", "GATEWAY_REDIS_PASSWORD_FILE": str(file)}
    with open_gate("a", redis, **wrong) as gate:
        assert look(gate)["reason"] == reason
        file.write_text(f"{PASSWORD}\n")
        wait_shared(gate)


def test_a_gateway_starts_with_a_host_that_is_no_name(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis, GATEWAY_REDIS_URL="redis://redis..example") as gate:
        assert look(gate)["reason"] == "cannot be reached: its address has no name of a host"
        assert ask(gate).status_code == 200


def test_without_a_password_it_is_said_that_one_is_wanted(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis, GATEWAY_REDIS_PASSWORD="") as gate:
        assert look(gate)["reason"] == "refused the password (NOAUTH)"


def test_tls_is_checked_by_the_company_s_authority(open_gate: Open, tmp_path: Path) -> None:
    company = make_company(tmp_path)
    with run_redis(make_folder(tmp_path, "redis"), tmp_path / "server.pem", company.authority) as server:
        with open_gate("a", server, GATEWAY_CA_BUNDLE=str(company.authority)) as gate:
            assert look(gate)["status"] == "ok"
            key = give_key(gate, requests_per_minute=1)
            assert [ask(gate, key).status_code for _ in range(2)] == [200, 429]
        with open_gate("b", server) as gate:
            assert look(gate)["reason"].startswith("has a certificate that is not trusted")
        plain = server.url.replace("rediss", "redis")
        with open_gate("c", server, GATEWAY_REDIS_URL=plain) as gate:
            assert look(gate)["status"] == "away"


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


def test_a_script_that_redis_has_forgotten_is_sent_again(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis) as gate:
        key = give_key(gate, requests_per_minute=2)
        assert ask(gate, key).status_code == 200
        redis.ask("script", "flush")
        assert [ask(gate, key).status_code for _ in range(2)] == [200, 429]
