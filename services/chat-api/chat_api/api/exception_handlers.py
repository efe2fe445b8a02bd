"""Every failure as a problem document. Does no I/O."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from chat_api.api.bodies import describe_errors
from chat_api.api.facts import find_facts
from chat_api.api.problems import build_response
from chat_api.exceptions.chat_exceptions import (
    ChatApiException,
    ChatServiceException,
    ConfigurationException,
    OpenAIClientException,
    ValidationException,
)

_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}


def add_exception_handlers(app: FastAPI) -> None:
    """Have the four kinds, and what the framework itself refuses, answered."""
    for kind in (ValidationException, ConfigurationException, ChatServiceException, OpenAIClientException):
        app.add_exception_handler(kind, handle_failure)
    app.add_exception_handler(HTTPException, handle_http_exception)
    app.add_exception_handler(RequestValidationError, handle_wrong_parameter)


async def handle_failure(request: Request, failure: Exception) -> Response:
    """One of the four kinds."""
    assert isinstance(failure, ChatApiException)
    facts = find_facts(request.scope)
    facts.code = failure.code
    return build_response(failure, facts.language, facts.request_id)


async def handle_wrong_parameter(request: Request, failure: Exception) -> Response:
    """A part of the address that is not right."""
    assert isinstance(failure, RequestValidationError)
    return await handle_failure(request, describe_errors(failure.errors()))


async def handle_http_exception(request: Request, failure: Exception) -> Response:
    """An address or a method that there is not."""
    assert isinstance(failure, HTTPException)
    answer = await handle_failure(request, ValidationException(_OF_STATUS.get(failure.status_code, "invalid_request")))
    for name, value in (failure.headers or {}).items():
        answer.headers[name] = value
    return answer
