"""Which target a request goes to when some keep failing: the router over real connections, with a clock of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from gateway.catalog.values import Provider, Route, Target, Timeouts
from gateway.edge.loop import build_loop
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.lanes.reply import Course
from gateway.lanes.upstream import Upstream
from gateway.outcomes import TargetError
from gateway.queue.slots import Slots
from gateway.routing.breaker import Breaker
from gateway.routing.router import Router

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.core.drill.behaviour import Behaviour
from stackctl.core.drill.faults import FAULTS, OK

CHAT = {"model": "mine", "messages": [{"role": "user", "content": "hi"}]}
BREAK_S = 61.0


@dataclass
class KeptReply:
    """An answer that a test looks at."""

    has_begun: bool = False
    warning: str = ""
    target: str = ""
    usage: Mapping[str, Any] | None = None
    code: str = ""
    course: Course = field(default_factory=Course)
    fail: Callable[[ApiError], bytes] | None = None
    body: bytes = field(default=b"")

    async def write(self, data: bytes) -> None:
        self.has_begun = True
        self.body += data

    def push(self, data: bytes) -> bool:
        self.body += data
        return True

    async def end(self, data: bytes = b"") -> None:
        await self.write(data)

    async def whole(self, body: bytes) -> None:
        await self.write(body)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[StandIn]:
    with run_stand_in() as running:
        yield running


@dataclass
class Routes:
    """Requests over one router, whose targets are models of the stand-in."""

    server: StandIn
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.clock)
        self.refusals: list[ApiError] = []

    def target(self, name: str, kind: str = "openai-compatible", slots: int | None = None) -> Target:
        provider = Provider(name, kind, is_local=True, slots=slots, timeouts=Timeouts(2.0, 5.0, 5.0, 10.0))
        return Target(name, provider, name, "chat", f"{self.server.url}/v1")

    def ask(self, *targets: Target, call: Call | None = None, leaves_after_s: float | None = None) -> KeptReply | str:
        """The answer, or the code of the refusal."""
        route, reply = Route("mine", targets, retries=0, deadline_s=10.0), KeptReply()
        asked = call or Call("chat", CHAT, "mine", "r")

        async def run() -> None:
            upstream = Upstream()
            try:
                router = Router(upstream, Slots(), self.breaker, queue_wait_s=0.01)
                async with asyncio.timeout(leaves_after_s):
                    await router.serve(asked, route, reply)
            finally:
                await upstream.close()

        try:
            asyncio.run(run())
        except RefusedError as refusal:
            self.refusals.append(refusal.error)
            return refusal.error.code
        except TimeoutError:
            return "left"
        return reply

    def count(self, name: str) -> int:
        return self.server.seen(name).count

    def tire(self, name: str) -> None:
        """Let it fail until it is left out."""
        for _ in range(5):
            self.breaker.fail(name, "upstream_error")


def test_a_target_behind_one_that_answers_is_used_again_after_its_break(server: StandIn) -> None:
    routes = Routes(server)
    first, second = routes.target("ok@1"), routes.target("ok@2")
    routes.tire("ok@2")
    routes.clock.now += BREAK_S
    routes.ask(first, second)  # the second one's turn does not come
    server.script("ok@1", FAULTS["503-openai"])
    answered = routes.ask(first, second)
    assert isinstance(answered, KeptReply)
    assert answered.target == "ok@2"
    assert routes.breaker.describe("ok@2")["state"] == "ok"


@pytest.mark.parametrize("fault", ["400-openai", "overflow-llama"])
def test_a_refused_request_does_not_keep_its_target_out(server: StandIn, fault: str) -> None:
    routes = Routes(server)
    first, second = routes.target("ok@1"), routes.target("ok@2")
    routes.tire("ok@1")
    routes.clock.now += BREAK_S
    server.script("ok@1", FAULTS[fault], OK)
    assert routes.ask(first, second) in ("invalid_request", "context_length_exceeded")
    assert routes.ask(first, second)
    assert routes.count("ok@1") == 2


def test_a_client_that_leaves_does_not_keep_its_target_out(server: StandIn) -> None:
    routes = Routes(server)
    first, second = routes.target("ok@1"), routes.target("ok@2")
    routes.tire("ok@1")
    routes.clock.now += BREAK_S
    server.script("ok@1", Behaviour(hang="before_head"), OK)
    assert routes.ask(first, second, leaves_after_s=0.3) == "left"
    answered = routes.ask(first, second)
    assert isinstance(answered, KeptReply)
    assert answered.target == "ok@1"


def test_a_target_that_is_left_out_is_not_asked_and_all_are_when_every_one_is(server: StandIn) -> None:
    routes = Routes(server)
    first, second = routes.target("ok@1"), routes.target("ok@2")
    routes.tire("ok@1")
    assert isinstance(routes.ask(first, second), KeptReply)
    assert (routes.count("ok@1"), routes.count("ok@2")) == (0, 1)
    routes.tire("ok@2")
    assert isinstance(routes.ask(first, second), KeptReply)
    assert (routes.count("ok@1"), routes.count("ok@2")) == (1, 1)


def test_an_error_tells_which_targets_were_tried_and_which_was_left_out(server: StandIn) -> None:
    routes = Routes(server)
    routes.tire("ok@1")
    assert routes.ask(routes.target("ok@1"), routes.target("503-openai")) == "upstream_error"
    assert "Tried: ok@1 (upstream_left_out), 503-openai (upstream_error)" in routes.refusals[0].message


def test_a_request_that_finds_no_slot_is_told_when_to_come_again(server: StandIn) -> None:
    routes = Routes(server)
    target = routes.target("hang@slot", slots=1)

    async def run() -> ApiError:
        upstream, slots = Upstream(), Slots()
        router = Router(upstream, slots, routes.breaker, queue_wait_s=0.01)
        route, call = Route("mine", (target,), retries=0, deadline_s=10.0), Call("chat", CHAT, "mine", "r")
        lease = await slots.acquire(target.provider.name, 1, 1, "another", 1.0)
        try:
            await router.serve(call, route, KeptReply())
        except RefusedError as refusal:
            return refusal.error
        finally:
            lease.release()
            await upstream.close()
        raise AssertionError("it was served")

    error = asyncio.run(run())
    assert (error.status, error.code) == (503, "queue_full")
    assert error.retry_after_s
    assert routes.count("hang@slot") == 0


def test_a_name_that_nobody_resolves_keeps_no_other_waiting(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, find = threading.Event(), socket.getaddrinfo

    def find_slowly(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "slow.example":
            assert answers.wait(30)
            raise socket.gaierror("no such name")
        return find(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find_slowly)
    port = server.url.rpartition(":")[2]

    async def run() -> None:
        upstream = Upstream()

        async def post(host: str) -> int:
            provider = Provider(host, "openai-compatible", is_local=True, timeouts=Timeouts(20.0, 20.0, 20.0, 20.0))
            target = Target(host, provider, "ok", "chat", f"http://{host}:{port}/v1")
            async with upstream.post(target, "/chat/completions", b'{"model": "ok"}', {}) as response:
                return response.status

        waiting = [asyncio.create_task(post("slow.example")) for _ in range(32)]
        try:
            assert await asyncio.wait_for(post("localhost"), 10) == 200
        finally:
            answers.set()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            await upstream.close()
        assert all(isinstance(result, TargetError) for result in results)

    with asyncio.Runner(loop_factory=build_loop) as runner:
        runner.run(run())


def test_a_target_that_has_no_such_format_is_no_fallback(server: StandIn) -> None:
    routes = Routes(server)
    first, anthropic = routes.target("503-openai"), routes.target("ok@a", "anthropic")
    call = Call("completions", {"model": "mine", "prompt": "hi"}, "mine", "r")
    assert routes.ask(first, anthropic, call=call) == "upstream_error"
    assert routes.ask(anthropic, call=call) == "unsupported_format"
    assert routes.count("ok@a") == 0


def test_the_answer_is_the_first_ones_in_the_name_that_was_asked_for(server: StandIn) -> None:
    answered = Routes(server).ask(Routes(server).target("ok@1"))
    assert isinstance(answered, KeptReply)
    assert orjson.loads(answered.body)["model"] == "mine"
