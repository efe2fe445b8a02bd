"""One call of an agent: ask, read, ask again with what was wrong, a bounded number of times.

pydantic-ai runs the loop. What the model is sent comes from our templates alone: ``_GatewayModel`` takes of the
library's history nothing, because the library puts English sentences of its own there (see docs/decisions/agents.md).
Does I/O through the gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext, TextOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from agents.gateway import Completion, FormatRefusedError, Gateway
from agents.problems import ProblemError
from agents.prompts import Prompts
from agents.reading import Fault, Reading, UnreadableError, read_answer
from agents.schemas import build_response_format
from agents.settings import Language

Draft = TypeVar("Draft", bound=BaseModel)

# A model whose server took no schema is asked without one so long; then its server may be another.
_FORGET_S = 600.0
# Of an answer that was not valid, what the model is shown again: more would fill a small context.
_SHOWN_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for whom.

    Attributes:
        agent: of ``prompts.AGENTS``.
        facts: what its template puts in.
        key: of the gateway, of the caller or the service's own.
    """

    agent: str
    facts: Mapping[str, Any]
    language: Language
    model: str
    key: str = field(repr=False)
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Draft]):
    """A valid answer and how it came about; see ``CallFacts``."""

    value: Draft
    tally: Tally
    is_mended: bool


@dataclass(slots=True)
class Tally:
    """What a call has cost so far."""

    model: str
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_constrained: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def time_s(self) -> float:
        """Seconds since the call began."""
        return round(time.monotonic() - self.started, 3)

    def add(self, completion: Completion, is_constrained: bool) -> None:
        """Count one attempt."""
        self.attempts += 1
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        self.is_constrained = is_constrained
        self.model = completion.model or self.model


class Asker:
    """Calls models for the agents.

    Args:
        attempts: how often a model is asked for one answer, at most.
    """

    def __init__(self, gateway: Gateway, prompts: Prompts, attempts: int) -> None:
        self.gateway, self.prompts, self.attempts = gateway, prompts, attempts
        self._unconstrained: dict[str, float] = {}
        self._agent: Agent[_Talk[Any], str] = Agent(
            deps_type=_Talk, output_type=TextOutput(_read), retries={"output": attempts - 1}
        )

    async def ask(self, order: Order, kind: type[Draft], tally: Tally) -> Outcome[Draft]:
        """Ask until an answer is valid.

        Args:
            tally: counts along, also where it ends with an error.

        Raises:
            ProblemError: the gateway did not serve, or no answer was valid; then with the last one.
        """
        talk = _Talk(self, order, kind, tally)
        try:
            await self._agent.run(deps=talk, user_prompt=order.agent, model=_GatewayModel(talk))
        except UnexpectedModelBehavior:
            raise talk.give_up() from None
        assert talk.reading
        return Outcome(talk.reading.value, tally, talk.reading.is_mended)

    async def complete(
        self, order: Order, messages: list[dict[str, str]], kind: type[BaseModel], tally: Tally
    ) -> Completion:
        """One attempt: with the schema, unless this model's server does not take one."""
        has_format = time.monotonic() >= self._unconstrained.get(order.model, 0.0)
        try:
            completion = await self._send(order, messages, build_response_format(kind) if has_format else None)
        except FormatRefusedError:
            has_format = False
            completion = await self._send(order, messages, None)
            # Only now is it known that the schema was what was refused.
            self._unconstrained[order.model] = time.monotonic() + _FORGET_S
        tally.add(completion, has_format)
        return completion

    async def _send(
        self, order: Order, messages: list[dict[str, str]], response_format: Mapping[str, Any] | None
    ) -> Completion:
        return await self.gateway.complete(order.key, order.model, messages, response_format, order.request_id)


class _Talk(Generic[Draft]):
    """The conversation of one call."""

    def __init__(self, asker: Asker, order: Order, kind: type[Draft], tally: Tally) -> None:
        self._asker, self._order, self._kind, self._tally = asker, order, kind, tally
        self._begin = asker.prompts.render_question(order.agent, order.language, order.facts)
        self._last: Completion | None = None
        self.reading: Reading[Draft] | None = None
        self._faults: tuple[Fault, ...] = ()

    async def ask(self) -> Completion:
        """Ask, or ask again."""
        messages = list(self._begin)
        if self._last:
            again = self._asker.prompts.render_again(self._order.language, self._faults)
            messages.append({"role": "assistant", "content": self._last.text[:_SHOWN_CHARACTERS] or "{}"})
            messages.append({"role": "user", "content": again})
        self._faults = (Fault("no_object"),)  # until the answer is read
        self._last = await self._asker.complete(self._order, messages, self._kind, self._tally)
        return self._last

    async def read(self) -> None:
        """Make ``reading`` of the last answer.

        Raises:
            ModelRetry: it is not valid.
        """
        assert self._last
        try:  # mending a long text takes a while, and others are served meanwhile
            self.reading = await asyncio.to_thread(read_answer, self._last.text, self._kind, self._last.is_cut)
        except UnreadableError as error:
            self._faults = error.faults
            raise ModelRetry(str(error)) from None

    def give_up(self) -> ProblemError:
        """What the caller is told when no attempt is left."""
        return ProblemError(
            "answer_invalid",
            faults=[{"where": fault.where, "code": fault.code, "expected": fault.limit} for fault in self._faults],
            attempts=self._tally.attempts,
            prompt_tokens=self._tally.prompt_tokens,
            completion_tokens=self._tally.completion_tokens,
            model=self._tally.model,
            time_s=self._tally.time_s,
            raw_answer=self._last.text if self._last else "",
        )


async def _read(context: RunContext[_Talk[Any]], text: str) -> str:
    await context.deps.read()
    return text


class _GatewayModel(Model[Any]):
    """A talk as pydantic-ai sees it."""

    def __init__(self, talk: _Talk[Any]) -> None:
        super().__init__()
        self._talk = talk

    @property
    def model_name(self) -> str:
        return "gateway"

    @property
    def system(self) -> str:
        return "stack"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One attempt; an empty answer is one as well, and is read like any other."""
        completion = await self._talk.ask()
        usage = RequestUsage(input_tokens=completion.prompt_tokens, output_tokens=completion.completion_tokens)
        return ModelResponse(parts=[TextPart(completion.text or "-")], usage=usage)
