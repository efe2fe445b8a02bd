"""What callers send, as values. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from agents_client.results import ProblemAnalysis
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError

MAX_PROBLEM = 20_000
# Fifty that are known beforehand, and those to eight questions.
MAX_ANSWERS = 58
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _refuse_control(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("control_character", "A text has no control characters.")
    return text


_NoControl = AfterValidator(_refuse_control)
Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400), _NoControl]
Answer = Annotated[str, StringConstraints(max_length=4000), _NoControl]
Problem = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PROBLEM), _NoControl]
Context = Annotated[dict[Key, Answer], Field(max_length=MAX_ANSWERS, description="Question, or name, to answer.")]

# What /docs puts in, so that each call can be tried as it stands there.
_PROBLEM: dict[str, JsonValue] = {"problem": "우리 팀의 월간 보고서 생성을 자동화하고 싶습니다."}
_ANALYSED: dict[str, JsonValue] = {
    "analysis": {
        "title": "월간 보고서 자동화",
        "summary": "매달 보고서를 손으로 만드는 데 이틀이 걸립니다.",
        "kind": "reporting",
        "complexity": "low",
        "goals": ["보고서가 매달 첫 근무일에 나옵니다."],
        "obstacles": [],
        "constraints": [],
        "people": [{"who": "회계 담당자", "need": "정확한 수치"}],
        "unknowns": ["수치가 어디에서 오는지"],
    },
    "context": {"누가 보고서를 읽습니까?": "회계팀"},
}


class AgentRequest(BaseModel):
    """What every call may say.

    Attributes:
        language: of prompts and answer; the service's own where it is not said.
        model: the gateway's name of a model; the service's own where it is not said.
    """

    model_config = ConfigDict(extra="forbid")

    language: Literal["ko", "en"] | None = None
    model: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._:/@+-]+$")] | None = (
        None
    )

    def list_facts(self) -> dict[str, Any]:
        """What the agent's template puts in."""
        return self.model_dump(mode="json", exclude={"language", "model"})


class AnalysisRequest(AgentRequest):
    """The problem, as a person tells it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM]})

    problem: Problem


class QuestionsRequest(AgentRequest):
    """The analysis, and what is known already."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANALYSED]})

    analysis: ProblemAnalysis
    context: Context = {}


class RequirementsRequest(AgentRequest):
    """The analysis, and a person's answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANALYSED]})

    analysis: ProblemAnalysis
    context: Context = {}
