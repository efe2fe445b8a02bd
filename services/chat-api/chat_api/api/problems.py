"""Problem documents (RFC 9457) that also have the fields of a failed answer. Pure."""

from __future__ import annotations

import math
from typing import Any, Final

import orjson
from starlette.responses import Response

from chat_api.exceptions.chat_exceptions import ChatApiException, FieldProblem
from chat_api.exceptions.words import FIELD_WORDS, PROBLEMS

MEDIA_TYPE: Final = "application/problem+json"
_TYPE = "urn:chat-api:problem:"


def describe_problem(failure: ChatApiException, language: str, request_id: str) -> dict[str, Any]:
    """The document of a failure, in one of ``LANGUAGES``."""
    sentence = PROBLEMS[failure.code].say(language)
    errors = [_describe_field(field, language) for field in failure.fields]
    detail = " ".join([sentence, *(f"{error['field']}: {error['expected']}." for error in errors[:5])])
    return {
        "type": _TYPE + failure.code,
        "title": sentence,
        "status": failure.status,
        "detail": detail,
        "code": failure.code,
        "kind": failure.kind,
        "request_id": request_id,
        "success": False,
        "error_message": detail,
        "errors": errors,
    }


def build_response(failure: ChatApiException, language: str, request_id: str) -> Response:
    """The answer that says so."""
    headers = {"content-language": language, "vary": "accept-language"}
    if failure.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(failure.retry_after_s)))
    if failure.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = orjson.dumps(describe_problem(failure, language, request_id))
    return Response(body, failure.status, headers, MEDIA_TYPE)


def _describe_field(field: FieldProblem, language: str) -> dict[str, str]:
    english, korean = FIELD_WORDS.get(field.code, ("another value", "다른 값"))
    expected = (korean if language == "ko" else english).format(field.bound)
    if field.code == "role_not_allowed":
        expected = field.bound
    return {"field": field.field, "code": field.code, "expected": expected}
