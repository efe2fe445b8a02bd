"""The service's routes, as one ASGI application. Does I/O through what it is made of."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents_client.results import (
    AnalysisAnswer,
    CallProgress,
    ProblemAnalysis,
    QuestionsAnswer,
    QuestionsDraft,
    RequirementsAnswer,
    RequirementsDraft,
)
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from agents.asking import Asker
from agents.calls import Calls
from agents.docs_page import add_docs
from agents.documents import describe_api
from agents.edge import Edge, answer_problem
from agents.gateway import Gateway
from agents.leaving import ClientLeftError
from agents.numbering import number_questions, number_requirements
from agents.observe import Metrics, note
from agents.places import Places
from agents.problems import ProblemError
from agents.prompts import Prompts
from agents.requests import AnalysisRequest, QuestionsRequest, RequirementsRequest
from agents.settings import Settings
from agents.under_way import CallsUnderWay

# nginx's number for a client that did not wait; nobody reads it but the log.
_CLIENT_LEFT = 499
_STATUS_CODES = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}
_MAX_FAULTS = 20


def build_app(settings: Settings) -> Edge:
    """The application with everything before and behind its routes."""
    gateway = Gateway(settings.gateway_url, settings.timeout_s)

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.close()

    # Its own pages load what they show from elsewhere.
    app = FastAPI(title="agents", lifespan=live, docs_url=None, redoc_url=None, openapi_url=None)
    metrics = Metrics()
    asker = Asker(gateway, Prompts(), settings.attempts)
    under_way = CallsUnderWay(settings.attempts)
    _add_calls(app, Calls(settings, asker, metrics, Places(settings.parallel), under_way))
    _add_looks(app, gateway, metrics)
    add_docs(app)
    _add_problems(app)
    return Edge(app, settings.allowed_hosts)


def _add_calls(app: FastAPI, calls: Calls) -> None:
    @app.post("/v1/problem-analysis", response_model=AnalysisAnswer, tags=["agents"])
    async def analyze(request: Request, asked: AnalysisRequest) -> dict[str, Any]:
        """Analyse a problem."""
        return await calls.serve("analysis", request, asked, ProblemAnalysis, lambda found: found)

    @app.post("/v1/context-questions", response_model=QuestionsAnswer, tags=["agents"])
    async def ask_context(request: Request, asked: QuestionsRequest) -> dict[str, Any]:
        """Find out what has to be asked about an analysed problem."""
        return await calls.serve("questions", request, asked, QuestionsDraft, number_questions)

    @app.post("/v1/requirements", response_model=RequirementsAnswer, tags=["agents"])
    async def require(request: Request, asked: RequirementsRequest) -> dict[str, Any]:
        """Write the requirements for an analysed problem."""
        return await calls.serve("requirements", request, asked, RequirementsDraft, number_requirements)

    @app.get("/v1/calls/{request_id}", response_model=CallProgress, tags=["agents"])
    async def follow(request: Request, request_id: str) -> CallProgress:
        """How far a call is, while it is worked on: the one that this key began with this X-Request-Id."""
        return calls.follow(request, request_id)


def _add_looks(app: FastAPI, gateway: Gateway, metrics: Metrics) -> None:
    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """The service runs."""
        return {"status": "ok"}

    @app.get("/health/ready", tags=["health"])
    async def ready() -> JSONResponse:
        """The gateway answers, so calls can."""
        is_ready = await gateway.is_ready()
        body = {"status": "ok"} if is_ready else {"status": "waiting", "for": "gateway"}
        return JSONResponse(body, 200 if is_ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def expose() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    document = describe_api(app)

    @app.get("/openapi.json", include_in_schema=False)
    async def describe() -> JSONResponse:
        return JSONResponse(document)


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def refuse(request: Request, error: ProblemError) -> Response:
        request.state.facts["code"] = error.code
        return answer_problem(error, request.scope)

    @app.exception_handler(RequestValidationError)
    async def refuse_body(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()[:_MAX_FAULTS]
        if any(fault["type"] == "json_invalid" for fault in found):
            return await refuse(request, ProblemError("invalid_json"))
        # Neither the values nor pydantic's sentences, which repeat them; names of a caller's own are cut.
        faults = [
            {"where": ".".join(_show_place(part) for part in fault["loc"][1:]), "code": fault["type"]}
            for fault in found
        ]
        return await refuse(request, ProblemError("invalid_request", faults=faults))

    @app.exception_handler(HTTPException)
    async def refuse_path(request: Request, error: HTTPException) -> Response:
        return await refuse(request, ProblemError(_STATUS_CODES.get(error.status_code, "internal_error")))

    @app.exception_handler(ClientLeftError)
    async def end(request: Request, error: ClientLeftError) -> Response:
        return Response(status_code=_CLIENT_LEFT)

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> Response:
        note(logging.ERROR, "fault", {"request_id": request.state.facts["request_id"]}, error)
        return await refuse(request, ProblemError("internal_error"))


def _show_place(part: object) -> str:
    """A place that can be written: what a caller calls a field may be half a surrogate pair."""
    return str(part)[:40].encode("ascii", "replace").decode()
