"""The three agents, as calls of Python. Does I/O: HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from agents_client.errors import AgentsError
from agents_client.http import open_client, send
from agents_client.llm import LLMManager
from agents_client.places import DEFAULT_AGENTS, LLMConfig
from agents_client.results import (
    AnalysisAnswer,
    CallFacts,
    ContextQuestions,
    ProblemAnalysis,
    QuestionsAnswer,
    Requirements,
    RequirementsAnswer,
    Value,
)

Language = Literal["ko", "en"]
Answer = TypeVar("Answer", bound=Value)


class AgentService:
    """A client of the agents.

    Args:
        url: the agents' base; empty for ``AGENTS_URL``.
        config: the gateway, its key and the model; the key is presented to the agents, too.
        language: of prompts and answers; None for the service's own.

    Attributes:
        llm_manager: plain completions.
        last_call: how the last answer came about: model, attempts, tokens, time.
    """

    def __init__(self, url: str = "", config: LLMConfig | None = None, language: Language | None = None) -> None:
        config = config or LLMConfig()
        self.llm_manager = LLMManager(config)
        self.last_call: CallFacts | None = None
        base = (url or os.environ.get("AGENTS_URL") or DEFAULT_AGENTS).rstrip("/")
        self._client = open_client(base, config.key, config.timeout_s)
        self._said = {"model": config.model or None, "language": language}

    async def analyze_problem(self, problem: str) -> ProblemAnalysis:
        """What the problem is.

        Raises:
            AgentsError: there is no valid answer; see ``code`` and ``raw_answer``. As of the other two.
        """
        answer = await self._ask("/v1/problem-analysis", AnalysisAnswer, problem=problem)
        self.last_call = answer.call
        return answer.result

    async def collect_context_questions(
        self, problem_analysis: ProblemAnalysis, existing_context: Mapping[str, str] | str | None = None
    ) -> ContextQuestions:
        """What has to be asked about it.

        Args:
            existing_context: what is known already: answers by question or name, or one text.
        """
        facts = {"analysis": _write(problem_analysis), "context": _build_context(existing_context)}
        answer = await self._ask("/v1/context-questions", QuestionsAnswer, **facts)
        self.last_call = answer.call
        return answer.result

    async def generate_requirements(
        self, problem_analysis: ProblemAnalysis, context_data: Mapping[str, str] | str | None = None
    ) -> Requirements:
        """What a solution has to do.

        Args:
            context_data: a person's answers by question, or one text.
        """
        facts = {"analysis": _write(problem_analysis), "context": _build_context(context_data)}
        answer = await self._ask("/v1/requirements", RequirementsAnswer, **facts)
        self.last_call = answer.call
        return answer.result

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()
        await self.llm_manager.close()

    async def __aenter__(self) -> AgentService:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, path: str, kind: type[Answer], **facts: Any) -> Answer:
        said = {name: value for name, value in self._said.items() if value}
        found = await send(self._client, "POST", path, {**facts, **said})
        try:
            return kind.model_validate(found)
        except ValidationError:
            text = f"what answers at {self._client.base_url} is not the agents; is AGENTS_URL their address?"
            raise AgentsError(text, "broken_answer", 200) from None


async def get_agent_service(
    url: str = "", config: LLMConfig | None = None, language: Language | None = None
) -> AgentService:
    """A client of the agents; ``AGENTS_URL``, ``GATEWAY_URL`` and ``GATEWAY_KEY`` say where they are."""
    return AgentService(url, config, language)


def _write(analysis: ProblemAnalysis) -> dict[str, Any]:
    return analysis.model_dump(mode="json")


def _build_context(given: Mapping[str, str] | str | None) -> dict[str, str]:
    if isinstance(given, str):
        return {"context": given} if given.strip() else {}
    return dict(given or {})
