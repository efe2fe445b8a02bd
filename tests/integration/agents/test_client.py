"""The Python client with the seed's names, at a real gateway: its calls, its errors, and the two connection scripts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from agents_client import AgentsError, LLMConfig, LLMManager, LLMProvider, LLMUsageTracker, get_agent_service
from agents_client.results import ProblemAnalysis

from tests.http_server import QuietHandler, serve_http
from tests.integration.agents.service import GOOD_ANALYSIS, GOOD_QUESTIONS, GOOD_REQUIREMENTS, Agents, Upstream
from tests.integration.stack_site import REPOSITORY, Site, clean_environment

EXAMPLES = REPOSITORY / "services" / "agents" / "examples"


def test_the_three_calls_follow_each_other(scripted: Agents, upstream: Upstream) -> None:
    async def work() -> Any:
        service = await get_agent_service(scripted.url, LLMConfig(api_key=scripted.key), language="en")
        try:
            upstream.answer(GOOD_ANALYSIS)
            analysis = await service.analyze_problem("우리 팀의 월간 보고서 생성을 자동화하고 싶습니다.")
            upstream.answer(GOOD_QUESTIONS)
            questions = await service.collect_context_questions(analysis, "Accounting uses it.")
            upstream.answer(GOOD_REQUIREMENTS)
            requirements = await service.generate_requirements(analysis, {questions.questions[0].text: "회계팀"})
            return analysis, questions, requirements, service.last_call
        finally:
            await service.close()

    analysis, questions, requirements, call = asyncio.run(work())

    assert analysis == ProblemAnalysis.model_validate(GOOD_ANALYSIS)
    assert (questions.questions[0].id, requirements.functions[0].id, requirements.qualities[0].id) == ("Q1", "F1", "N1")
    assert (call.model, call.attempts, call.prompt_tokens, call.completion_tokens) == ("local-chat", 1, 7, 5)
    asked = upstream.asked[-1]["messages"][-1]["content"]
    assert '"Who?": "회계팀"' in asked


@pytest.mark.parametrize(
    ("key", "url", "code", "status"),
    [("sk-wrong", "", "key_refused", 401), ("", "http://127.0.0.1:9", "unreachable", 0)],
)
def test_a_failure_says_what_it_is(scripted: Agents, key: str, url: str, code: str, status: int) -> None:
    async def work() -> None:
        async with await get_agent_service(url or scripted.url, LLMConfig(api_key=key)) as service:
            await service.analyze_problem("x")

    with pytest.raises(AgentsError) as raised:
        asyncio.run(work())

    assert (raised.value.code, raised.value.status) == (code, status)


def test_whoever_answers_that_is_not_the_agents_is_named_as_that() -> None:
    class Other(QuietHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

    async def work(url: str) -> None:
        async with await get_agent_service(url) as service:
            await service.analyze_problem("half a pair: \ud800")

    with serve_http(Other) as address, pytest.raises(AgentsError, match="is not the agents"):
        asyncio.run(work(f"http://{address}"))


def test_a_key_that_no_header_can_hold_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(AgentsError, match="the key is not usable"):
        asyncio.run(get_agent_service(config=LLMConfig(api_key="키")))


def test_what_the_model_wrote_last_is_the_callers(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer("I would rather talk about planted-88a1.")

    async def work() -> None:
        async with await get_agent_service(scripted.url, LLMConfig(api_key=scripted.key)) as service:
            await service.analyze_problem("x")

    with pytest.raises(AgentsError) as raised:
        asyncio.run(work())

    assert raised.value.raw_answer == "I would rather talk about planted-88a1."
    assert "planted-88a1" not in scripted.read_log()


def test_usage_is_counted_here_and_at_the_gateway(stack: Site) -> None:
    async def work() -> tuple[LLMUsageTracker, dict[str, Any], str]:
        manager = LLMManager(LLMConfig(base_url=f"{stack.url}/v1", api_key=stack.keys["GATEWAY_KEY"]))
        answer = await manager.simple_completion("ping", "You are a helpful assistant.")
        report = await manager.usage.load_report()
        await manager.close()
        return manager.usage, report, answer

    usage, report, answer = asyncio.run(work())

    assert answer == "pong"
    assert usage.request_count == 1
    assert usage.total_tokens > 2
    assert report


@pytest.mark.parametrize("provider", [LLMProvider.INTERNAL, LLMProvider.OLLAMA], ids=["internal", "ollama"])
def test_the_connection_scripts_of_the_seed_run(scripted: Agents, upstream: Upstream, provider: LLMProvider) -> None:
    upstream.answer("I hear you.")
    source = str(REPOSITORY / "services" / "agents")
    where = {"GATEWAY_URL": upstream.gateway.url, "GATEWAY_KEY": scripted.key, "PYTHONPATH": source}
    script = str(EXAMPLES / f"connect_{provider.name.lower()}.py")

    done = subprocess.run(
        [sys.executable, script], env=clean_environment(**where), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "LLM Response: I hear you." in done.stdout
    assert "connection test successful!" in done.stdout
    assert "Tokens: 12" in done.stdout
