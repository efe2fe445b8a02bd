"""What a caller is told that is not served: problem documents (RFC 9457) with a stable code, in two languages. Pure.

A document holds neither a key nor an address, and of what the caller sent no value. One of ``answer_invalid`` alone has
something that a model wrote: its last answer, for the caller and for no log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from agents.settings import Language

MEDIA_TYPE = "application/problem+json"

# Status, English title, Korean title.
KINDS: Mapping[str, tuple[int, str, str]] = {
    "invalid_json": (400, "The body is not JSON.", "본문이 JSON이 아닙니다."),
    "model_refused": (400, "The model does not accept this request.", "모델이 이 요청을 받지 않습니다."),
    "key_required": (
        401,
        "A key of the gateway is expected: Authorization: Bearer KEY.",
        "게이트웨이의 키가 필요합니다: Authorization: Bearer 키.",
    ),
    "key_refused": (401, "The gateway does not know this key.", "게이트웨이가 모르는 키입니다."),
    "not_allowed": (403, "This key may not do this.", "이 키로는 할 수 없습니다."),
    "origin_refused": (
        403,
        "Requests of pages of another site are not served.",
        "다른 사이트의 페이지가 보낸 요청은 받지 않습니다.",
    ),
    "not_found": (404, "There is nothing at this path.", "이 경로에는 아무것도 없습니다."),
    "unknown_model": (404, "The gateway has no model of this name.", "게이트웨이에 이 이름의 모델이 없습니다."),
    "method_not_allowed": (405, "This path is asked in another way.", "이 경로는 다른 방법으로 요청합니다."),
    "request_timeout": (408, "The body did not come in time.", "본문이 제때 오지 않았습니다."),
    "body_too_large": (413, "The body is too large.", "본문이 너무 큽니다."),
    "too_long_for_model": (413, "This is longer than the model takes.", "모델이 받을 수 있는 길이를 넘습니다."),
    "json_expected": (
        415,
        "Only JSON is taken: Content-Type: application/json.",
        "JSON만 받습니다: Content-Type: application/json.",
    ),
    "unknown_host": (
        421,
        "The agents are not asked under this name; their operator can put it into AGENTS_ALLOWED_HOSTS.",
        "이 이름으로는 에이전트를 쓸 수 없습니다. 운영자가 AGENTS_ALLOWED_HOSTS에 넣을 수 있습니다.",
    ),
    "invalid_request": (422, "The request is not valid.", "요청이 올바르지 않습니다."),
    "limit_reached": (429, "A limit of requests or tokens is reached.", "요청 또는 토큰 한도에 이르렀습니다."),
    "internal_error": (
        500,
        "The service has a fault; its log says where.",
        "서비스의 오류입니다. 로그에 위치가 있습니다.",
    ),
    "answer_invalid": (
        502,
        "The model gave no valid answer in the allowed attempts.",
        "모델이 허용된 횟수 안에 올바른 답을 하지 못했습니다.",
    ),
    "busy": (503, "Too many calls are under way.", "진행 중인 호출이 너무 많습니다."),
    "gateway_unreachable": (503, "The gateway does not answer.", "게이트웨이가 응답하지 않습니다."),
    "model_unavailable": (503, "The model cannot answer now.", "모델이 지금 답할 수 없습니다."),
    "service_key_refused": (
        503,
        "The gateway refuses the agents' own key; their operator has to set AGENTS_GATEWAY_KEY.",
        "게이트웨이가 에이전트의 키를 거부합니다. 운영자가 AGENTS_GATEWAY_KEY를 고쳐야 합니다.",
    ),
    "timed_out": (504, "The model did not answer in time.", "모델이 제때 답하지 않았습니다."),
}


class FaultyField(BaseModel):
    """One field that is wrong: its place and pydantic's word for why."""

    where: str
    code: str
    expected: str = ""


class ProblemDocument(BaseModel):
    """A problem as the caller sees it.

    Attributes:
        raw_answer: the model's last answer, as it wrote it; with ``answer_invalid`` alone, as the four before it.
    """

    type: str = Field(examples=["urn:stack:agents:key_required"])
    title: str
    status: int
    code: str = Field(examples=["key_required"])
    detail: str = ""
    instance: str = Field(default="", examples=["urn:request:3f2a"])
    faults: list[FaultyField] | None = None
    attempts: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str | None = None
    time_s: float | None = None
    raw_answer: str | None = None


class ProblemError(Exception):
    """The call is not served.

    Attributes:
        code: of ``KINDS``.
        facts: further members of the document.
        retry_after: value of the header of that name; empty for none.
    """

    def __init__(self, code: str, retry_after: str = "", **facts: Any) -> None:
        super().__init__(code)
        self.code, self.retry_after, self.facts = code, retry_after, facts

    @property
    def status(self) -> int:
        """The status of the answer."""
        return KINDS[self.code][0]


def build_document(problem: ProblemError, language: Language, request_id: str) -> dict[str, Any]:
    """The document's members."""
    status, english, korean = KINDS[problem.code]
    return {
        "type": f"urn:stack:agents:{problem.code}",
        "title": korean if language == "ko" else english,
        "status": status,
        "code": problem.code,
        "instance": f"urn:request:{request_id}",
        **problem.facts,
    }


def choose_language(accepted: str) -> Language:
    """The language of a title: Korean where ``Accept-Language`` wants it more than English."""
    weights = {"ko": 0.0, "en": 0.0}
    for part in accepted.lower().split(","):
        name, _, options = part.strip().partition(";")
        weight = options.strip().removeprefix("q=") or "1"
        language = name.split("-")[0]
        if language in weights:
            try:
                weights[language] = max(weights[language], float(weight))
            except ValueError:
                continue
    return "ko" if weights["ko"] > weights["en"] else "en"
