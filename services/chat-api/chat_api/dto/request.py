"""A chat request, as clients send it. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT = 1_000_000
MAX_ENTRIES = 2_000
SESSION_ID = r"^[\w.:@~-]*$"

Text = Annotated[str, Field(max_length=MAX_TEXT)]
SessionId = Annotated[str, Field(max_length=128, pattern=SESSION_ID)]


class HistoryMessage(BaseModel):
    """An earlier message whose role is said; any other role than these two is refused."""

    role: Annotated[str, Field(max_length=32, description="`user` or `assistant`")]
    content: Text


class ChatRequest(BaseModel):
    """What a model is asked. Every field may be left out or be null, but `user_message` must have a text."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_message": "ping", "free_mode": True, "temperature": 0},
                {
                    "session_id": "trip-to-busan",
                    "system_message": "Answer briefly.",
                    "user_message": "부산에서 하루 동안 무엇을 볼까?",
                    "role": "A travel guide",
                    "instructions": "Answer in Korean.",
                    "conversation_history": ["user: 안녕하세요", "assistant: 안녕하세요, 무엇을 도와드릴까요?"],
                    "memory_context": ["The user travels by train."],
                    "max_tokens": 400,
                    "temperature": 0.7,
                    "model": "local-chat",
                    "openai_api_key": "YOUR-KEY",
                    "free_mode": False,
                },
            ]
        }
    )

    session_id: SessionId | None = Field(default="", description="Names a session. Repeated in the answer.")
    system_message: Text | None = Field(default="", description="Empty for the service's own.")
    user_message: Text | None = Field(default="", description="What is asked.")
    role: Text | None = Field(default="", description="Whom the model plays; a part of the system message.")
    instructions: Text | None = Field(default="", description="How to answer; a part of the system message.")
    conversation_history: Annotated[list[Text | HistoryMessage], Field(max_length=MAX_ENTRIES)] | None = Field(
        default_factory=list,
        description="Earlier messages, oldest first. A text that begins with `assistant:` is the assistant's, any other"
        " is the user's. In a session it replaces what is stored, for this turn.",
    )
    memory_context: Annotated[list[Text], Field(max_length=MAX_ENTRIES)] | None = Field(
        default_factory=list, description="Facts to know; a part of the system message."
    )
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Most tokens of the answer."
    )
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    model: Annotated[str, Field(max_length=200)] | None = Field(default="", description="Empty for the service's own.")
    openai_api_key: Annotated[str, Field(max_length=1024)] | None = Field(
        default="", description="A key of the gateway or, where the operator allows it, of a provider."
    )
    free_mode: bool | None = Field(default=False, description="Without a key, ask with the service's own.")


class SessionRequest(BaseModel):
    """A session to begin."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"session_id": "trip-to-busan"}, {}]})

    session_id: SessionId | None = Field(default="", description="Empty for an id that the service chooses.")


Language = Literal["en", "ko"]
