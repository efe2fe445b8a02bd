"""Keys with limits at the gate: what a client is told before and after it is over one, in both formats."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway.catalog.parse import parse_catalog
from gateway.catalog.values import Route
from gateway.edge import gate as gate_module
from gateway.edge.gate import Gate
from gateway.edge.limited import write_duration
from gateway.edge.parts import Parts
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.lanes.reply import Reply
from gateway.queue.slots import Slots
from gateway.routing.key_limits import KeyLimits
from gateway.settings import parse_settings
from gateway.state import usage
from gateway.state.connection import Connection
from gateway.state.database import Database, prepare
from gateway.state.values import Caller, Key, Terms

from tests.gateway_calls import BODY, CHAT, CONFIG, ENVIRONMENT, Message, ScriptedRouter
from tests.unit.gateway.test_usage_table import row

MESSAGES = "/v1/messages"
NOON = 1_796_040_000.0  # 2026-11-30
MESSAGE_BODY = {**BODY, "max_tokens": 10}
# Of BODY as JSON, by which its prompt is estimated.
PROMPT_TOKENS = len(json.dumps(BODY, separators=(",", ":"))) // 4


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


class CountingRouter(ScriptedRouter):
    """Answers with the usage that a test says."""

    usage: Mapping[str, Any] | None = None
    pauses = 0

    async def serve(self, call: Call, route: Route, reply: Reply) -> None:
        for _ in range(self.pauses):
            await asyncio.sleep(0)
        reply.usage = self.usage
        reply.course.provider, reply.course.pieces = "far", len(self.chunks)
        await super().serve(call, route, reply)


@dataclass
class Site:
    """A started gate whose every caller has one key."""

    gate: Gate
    router: CountingRouter
    clock: Clock
    database: Database | None

    def ask(self, path: str = CHAT, **body: Any) -> httpx.Response:
        return self.ask_all([(path, body)])[0]

    def ask_all(self, requests: list[tuple[str, dict[str, Any]]]) -> list[httpx.Response]:
        async def run() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.gate)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                sent = [client.post(path, json={**BODY, **body}) for path, body in requests]
                return await asyncio.gather(*sent)

        return asyncio.run(run())


Build = Callable[..., Site]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Build:
    """Starts a gate that takes everyone for the key with these terms."""

    def build_one(database: Database | None = None, key: Key | None = None, **terms: Any) -> Site:
        found = Caller("ada", key=key or Key(7, "ada", Terms(**terms), created_at=0.0))
        monkeypatch.setattr(gate_module, "find_caller", lambda *facts: found)
        clock, router = Clock(), CountingRouter()
        limits = KeyLimits(Slots(clock=clock, wall=clock), database)
        gate = Gate(parse_settings(ENVIRONMENT), parse_catalog(CONFIG, {}), lambda: Parts(router, key_limits=limits))
        steps = iter(["lifespan.startup", "lifespan.shutdown"])

        async def get() -> Message:
            return {"type": next(steps)}

        async def ignore(message: Message) -> None:
            pass

        asyncio.run(gate({"type": "lifespan"}, get, ignore))
        return Site(gate, router, clock, database)

    return build_one


def read_limits(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "ratelimit" in name}


def test_openais_clients_learn_what_is_left(build: Build) -> None:
    site = build(requests_per_minute=2, tokens_per_minute=1000)
    site.router.usage = {"prompt_tokens": 10, "completion_tokens": 20}
    assert read_limits(site.ask(max_tokens=100)) == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": str(1000 - PROMPT_TOKENS - 4 - 100),
        "x-ratelimit-reset-tokens": "1m0s",
    }
    site.clock.now += 20.5
    answer = site.ask()
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(1000 - 30 - PROMPT_TOKENS - 512)
    refused = site.ask()
    assert refused.status_code == 429
    assert (refused.headers["retry-after"], refused.headers["x-ratelimit-remaining-requests"]) == ("40", "0")
    assert refused.json()["error"] == {
        "message": "Key 'ada' may send 2 requests a minute, and has sent them.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert "x-should-retry" not in refused.headers
    site.clock.now += 39.5
    assert site.ask().status_code == 200


def test_anthropics_clients_learn_what_is_left(build: Build) -> None:
    site = build(requests_per_minute=1, tokens_per_minute=1000)
    assert read_limits(site.ask(MESSAGES, max_tokens=10)).keys() == {
        f"anthropic-ratelimit-{kind}-{what}"
        for kind in ("requests", "tokens")
        for what in ("limit", "remaining", "reset")
    }
    refused = site.ask(MESSAGES, max_tokens=10)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", refused.headers["anthropic-ratelimit-requests-reset"])
    assert refused.json()["error"]["type"] == "rate_limit_error"


def test_a_budget_is_used_up_until_midnight(build: Build) -> None:
    site = build(budget_tokens=700)
    site.router.usage = {"prompt_tokens": 300, "completion_tokens": 400}
    answer = site.ask()
    assert answer.headers["x-ratelimit-limit-tokens"] == "700"
    assert answer.headers["x-ratelimit-reset-tokens"] == "12h0m0s"
    refused = site.ask()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, str(12 * 3600))
    assert refused.headers["x-should-retry"] == "false"
    assert refused.json()["error"]["code"] == "budget_exceeded"
    assert refused.json()["error"]["message"] == (
        f"Key 'ada' has a budget of 700 tokens a day: 0 are left, and this request may take {PROMPT_TOKENS + 1}."
        " The next begins at 00:00 UTC."
    )
    site.clock.now += 12 * 3600
    assert site.ask().status_code == 200


def test_a_prompt_of_more_than_the_limit_is_not_tried_again(build: Build) -> None:
    site = build(tokens_per_minute=100)
    refused = site.ask(messages=[{"role": "user", "content": "x" * 4000}])
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
    assert "retry-after" not in refused.headers
    assert "more than the whole limit" in refused.json()["error"]["message"]
    assert site.router.calls == []


def test_a_picture_is_not_counted_as_text(build: Build) -> None:
    site = build(tokens_per_minute=5000)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    answer = site.ask(messages=[{"role": "user", "content": [{"type": "text", "text": "what is it?"}, picture]}])
    assert answer.status_code == 200
    assert 3000 < int(answer.headers["x-ratelimit-remaining-tokens"]) < 4000


@pytest.mark.parametrize(
    ("raised", "chunks", "usage", "taken"),
    [
        (RefusedError(ApiError(503, "upstream_error", "failed")), 0, None, 0),
        (ValueError("a bug"), 0, None, 0),
        (None, 1, {"prompt_tokens": 1, "completion_tokens": 1}, 2),
        # Nobody counted: an estimate of the prompt, and the events of the answer.
        (None, 3, None, 4 + 3),
    ],
)
def test_a_failed_request_gives_its_tokens_back_and_an_answer_takes_what_the_records_say(
    build: Build, raised: BaseException | None, chunks: int, usage: dict[str, int] | None, taken: int
) -> None:
    site = build(tokens_per_minute=2000)
    site.router.raised, site.router.usage = raised, usage
    site.router.chunks = (b"data: {}\n\n",) * chunks
    remaining = [int(site.ask(max_tokens=500).headers["x-ratelimit-remaining-tokens"]) for _ in range(2)]
    assert remaining[0] - remaining[1] == taken


def test_counting_tokens_is_a_request_that_takes_none(build: Build) -> None:
    site = build(requests_per_minute=2, tokens_per_minute=20)
    answer = site.ask("/v1/messages/count_tokens")
    assert answer.status_code == 200
    assert answer.headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert answer.headers["anthropic-ratelimit-tokens-remaining"] == "20"


def test_a_request_that_is_wrong_is_not_counted(build: Build) -> None:
    site = build(requests_per_minute=1)
    assert site.ask(model="nothing").status_code == 404
    assert site.ask().status_code == 200


def test_requests_at_once(build: Build) -> None:
    site = build(parallel_requests=2)
    site.router.pauses = 1000
    answers = site.ask_all([(CHAT, {})] * 3)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
    (refused,) = [answer for answer in answers if answer.status_code == 429]
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["message"] == "Key 'ada' may have 2 requests under way at once, and has them."
    assert site.ask().status_code == 200


def test_without_limits_nothing_is_told(build: Build) -> None:
    assert read_limits(build(models=("local-*",)).ask()) == {}


def add_usage(connection: Connection, *rows: tuple[str, float, int, int]) -> None:
    for key, ended_at, prompt, completion in rows:
        usage.add_usage(connection, [row(ended_at, key=key, prompt_tokens=prompt, completion_tokens=completion)])


def test_a_budget_counts_what_the_usage_records_of_its_period_say(build: Build, tmp_path: Path) -> None:
    database = Database(prepare(tmp_path))
    rows = [
        ("ada", NOON, 100, 50),
        ("ada", NOON - 3600, 30, 0),
        ("bob", NOON, 900, 0),
        ("ada", NOON - 13 * 3600, 9, 9),
    ]
    database.write_here(lambda connection: add_usage(connection, *rows))
    database.close_here()
    key = Key(7, "ada", Terms(budget_tokens=1000), created_at=NOON - 40 * 3600)
    site = build(Database(tmp_path / "gateway.db"), key=key)
    assert site.ask(max_tokens=10).headers["x-ratelimit-remaining-tokens"] == str(1000 - 180 - PROMPT_TOKENS - 4 - 10)


def test_a_name_that_is_given_again_begins_with_nothing_used(build: Build, tmp_path: Path) -> None:
    database = Database(prepare(tmp_path))
    database.write_here(lambda connection: add_usage(connection, ("ada", NOON - 3600, 999, 0)))
    database.close_here()
    key = Key(8, "ada", Terms(budget_tokens=1000), created_at=NOON - 60)
    assert build(Database(tmp_path / "gateway.db"), key=key).ask().status_code == 200


def test_a_budget_without_readable_records_begins_with_nothing_used(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = build(Database(tmp_path / "gone.db"), budget_tokens=1000)
    assert site.ask().status_code == 200
    assert "budget begins with nothing used" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.0165, "17ms"), (1.0, "1s"), (59.2, "1m0s"), (360.0, "6m0s"), (86341.0, "23h59m1s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text
