"""What clients are answered. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

KeySource = Literal["user", "default"]


class ChatResponse(BaseModel):
    """An answer, and the last event of a stream."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "session_id": "",
                    "response_text": "pong",
                    "model": "local-chat",
                    "input_tokens": 34,
                    "output_tokens": 2,
                    "total_tokens_used": 36,
                    "output_format": "text",
                    "created_at": "2026-11-29T01:23:45.678901Z",
                    "temperature": 0.0,
                    "instructions": "",
                    "response_time": 0.021,
                    "success": True,
                    "error_message": None,
                    "api_key_source": "default",
                }
            ]
        }
    )

    session_id: str
    response_text: str
    model: str
    input_tokens: int
    output_tokens: int
    total_tokens_used: int
    output_format: str = "text"
    created_at: datetime
    temperature: float | None = None
    instructions: str | None = None
    response_time: float | None = Field(default=None, description="Seconds.")
    success: bool = True
    error_message: str | None = None
    api_key_source: KeySource | None = Field(
        default=None, description="`user`: the caller's key; `default`: the service's."
    )


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    code: str
    expected: str


class ProblemDocument(BaseModel):
    """An error: an RFC 9457 problem document that also has the fields of a failed answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:chat-api:problem:key_needed",
                    "title": "A key is needed.",
                    "status": 401,
                    "detail": "A key is needed.",
                    "code": "key_needed",
                    "kind": "validation",
                    "request_id": "req_5b1c",
                    "success": False,
                    "error_message": "A key is needed.",
                    "errors": [],
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="A stable word for programs.")
    kind: Literal["validation", "configuration", "chat_service", "openai_client"]
    request_id: str
    success: Literal[False] = False
    error_message: str
    errors: list[FieldError] = Field(default_factory=list)


class SessionFacts(BaseModel):
    """A session without its texts."""

    session_id: str
    turns: int
    created_at: datetime
    used_at: datetime


class SessionList(BaseModel):
    """The caller's sessions, the one used last first."""

    sessions: list[SessionFacts]


class BegunSession(SessionFacts):
    """A session that has begun."""

    session_token: str | None = Field(default=None, description="Opens an anonymous session; said once.")


class StoredTurn(BaseModel):
    """One turn as it is kept."""

    number: int
    user_message: str
    answer: ChatResponse


class SessionExport(SessionFacts):
    """A session with everything that is kept of it."""

    summary: str = Field(default="", description="Of turns that no longer fit the model's context.")
    history: list[StoredTurn]


class ReadyState(BaseModel):
    """That the service works."""

    status: str = "ok"


class SystemInfo(BaseModel):
    """What runs here, and how busy it is."""

    service: dict[str, Any]
    machine: dict[str, Any]
    gateway: dict[str, Any]
    models: list[dict[str, Any]]
    gpus: list[dict[str, Any]]
