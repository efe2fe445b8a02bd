"""What the agents answer, as values. Pure.

A model writes the classes whose name ends with ``Draft``; the service numbers what it wrote, so that an answer to a
question or a remark about a requirement can name it. Bounds are such that a small model comes to an end: they are part
of the schema that the engine holds it to.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _blank_control(value: object) -> object:
    """Spaces for control characters: a question with one could not come back with its answer."""
    return _CONTROL.sub(" ", value) if isinstance(value, str) else value


_Printable = BeforeValidator(_blank_control)
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), _Printable]
Paragraph = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=600), _Printable]


def _fold(value: object) -> object:
    """``"High"`` for ``"high"``: which of the words is meant is plain."""
    return value.strip().lower() if isinstance(value, str) else value


Kind = Annotated[
    Literal["automation", "reporting", "data", "integration", "communication", "quality", "other"],
    BeforeValidator(_fold),
]
Complexity = Annotated[Literal["low", "medium", "high"], BeforeValidator(_fold)]
Priority = Annotated[Literal["must", "should", "could"], BeforeValidator(_fold)]
QualityKind = Annotated[
    Literal["performance", "security", "reliability", "usability", "maintainability", "compliance"],
    BeforeValidator(_fold),
]


class Value(BaseModel):
    """Base of what is answered: immutable, and nothing in it that has no name here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(Value):
    """Somebody who has to do with the problem."""

    who: Line = Field(description="A role, such as 'accountant'.")
    need: Line = Field(description="What this person needs of a solution.")


class ProblemAnalysis(Value):
    """What a problem is, before anybody thinks of a solution."""

    title: Line
    summary: Paragraph = Field(description="The problem in other words than those it was told in.")
    kind: Kind
    complexity: Complexity = Field(description="How much there is to find out and to decide.")
    goals: tuple[Line, ...] = Field(min_length=1, max_length=5, description="What is true once it is solved.")
    obstacles: tuple[Line, ...] = Field(max_length=5, description="What makes it a problem today.")
    constraints: tuple[Line, ...] = Field(max_length=5, description="What a solution has to keep to.")
    people: tuple[Person, ...] = Field(max_length=5)
    unknowns: tuple[Line, ...] = Field(max_length=6, description="What is not known yet and decides much.")


class QuestionDraft(Value):
    """A question as the model writes it."""

    text: Line
    reason: Line = Field(description="What the answer decides.")
    options: tuple[Line, ...] = Field(max_length=5, description="Likely answers; another one is as good.")
    is_required: bool = Field(description="Whether requirements cannot be written without an answer.")


class QuestionsDraft(Value):
    """All questions as the model writes them."""

    known: tuple[Line, ...] = Field(max_length=6, description="What the given context already says.")
    questions: tuple[QuestionDraft, ...] = Field(max_length=8)


class Question(QuestionDraft):
    """A question with its number."""

    id: str = Field(pattern=r"^Q[1-9][0-9]*$")


class ContextQuestions(Value):
    """What has to be asked before requirements can be written; no question where the context says enough."""

    known: tuple[Line, ...]
    questions: tuple[Question, ...]


class FunctionDraft(Value):
    """Something that the solution does, as the model writes it."""

    text: Line = Field(description="One sentence that can be true or false of a solution.")
    priority: Priority
    acceptance: tuple[Line, ...] = Field(min_length=1, max_length=3, description="How one sees that it does.")


class QualityDraft(Value):
    """How well it does it, as the model writes it."""

    kind: QualityKind
    text: Line
    priority: Priority


class Risk(Value):
    """What may go wrong."""

    text: Line
    answer: Line = Field(description="What is done about it.")


class RequirementsDraft(Value):
    """Requirements as the model writes them."""

    title: Line
    purpose: Paragraph
    functions: tuple[FunctionDraft, ...] = Field(min_length=1, max_length=8)
    qualities: tuple[QualityDraft, ...] = Field(max_length=5)
    risks: tuple[Risk, ...] = Field(max_length=4)
    out_of_scope: tuple[Line, ...] = Field(max_length=4)
    open_questions: tuple[Line, ...] = Field(max_length=4)


class Function(FunctionDraft):
    """Something that the solution does, with its number."""

    id: str = Field(pattern=r"^F[1-9][0-9]*$")


class Quality(QualityDraft):
    """How well it does it, with its number."""

    id: str = Field(pattern=r"^N[1-9][0-9]*$")


class Requirements(Value):
    """What a solution has to do, how well, and what is left out."""

    title: Line
    purpose: Paragraph
    functions: tuple[Function, ...]
    qualities: tuple[Quality, ...]
    risks: tuple[Risk, ...]
    out_of_scope: tuple[Line, ...]
    open_questions: tuple[Line, ...]


class CallFacts(Value):
    """How an answer came about.

    Attributes:
        model: the name that the gateway answered with.
        attempts: how often the model was asked.
        prompt_tokens: of all attempts together, as completion_tokens.
        time_s: seconds from the request to the answer.
        prompts: version of the prompts.
        is_constrained: whether the model's server was given the schema, which llama.cpp holds every token to.
        is_mended: whether the JSON was almost right and has been repaired.
        request_id: under which the gateway's and the service's logs have it.
    """

    model: str
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    time_s: float
    language: Literal["ko", "en"]
    prompts: str
    is_constrained: bool
    is_mended: bool
    request_id: str


class CallProgress(Value):
    """How far a call is that is worked on.

    Attributes:
        attempts: how often the model has answered; it is asked once more now, at most ``max_attempts`` times.
        prompt_tokens: of the attempts that have ended, as completion_tokens.
        time_s: seconds since the request.
    """

    agent: str
    model: str
    attempts: int
    max_attempts: int
    prompt_tokens: int
    completion_tokens: int
    time_s: float


class AnalysisAnswer(Value):
    """The answer of ``/v1/problem-analysis``."""

    result: ProblemAnalysis
    call: CallFacts


class QuestionsAnswer(Value):
    """The answer of ``/v1/context-questions``."""

    result: ContextQuestions
    call: CallFacts


class RequirementsAnswer(Value):
    """The answer of ``/v1/requirements``."""

    result: Requirements
    call: CallFacts
