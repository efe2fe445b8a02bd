"""The four kinds of failure. Pure; imports nothing of ours but the words.

Each is raised with a code of ``words.PROBLEMS``, which has its HTTP status and its sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chat_api.exceptions.words import PROBLEMS


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request.

    Attributes:
        field: its name, with the places of lists: ``conversation_history.0.role``.
        code: pydantic's word for it, such as ``greater_than_equal``.
        bound: what was expected, where that is a number or a few words; else empty.
    """

    field: str
    code: str
    bound: str = ""


class ChatApiException(Exception):
    """A request cannot be answered.

    Attributes:
        kind: which of the four it is.
        status: HTTP status of the answer.
        retry_after_s: when another try is worth it; None when nobody said.
        fields: what is wrong with which field of the request.
    """

    kind = "chat_service"

    def __init__(self, code: str, *, retry_after_s: float | None = None, fields: Sequence[FieldProblem] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.status = PROBLEMS[code].status
        self.retry_after_s = retry_after_s
        self.fields = tuple(fields)


class ValidationException(ChatApiException):
    """The request is at fault: its body, its key, its session."""

    kind = "validation"


class ConfigurationException(ChatApiException):
    """The service is not set up for this request."""

    kind = "configuration"


class ChatServiceException(ChatApiException):
    """The service itself has no room, or failed."""

    kind = "chat_service"


class OpenAIClientException(ChatApiException):
    """The gateway, which speaks OpenAI's format, refused or failed."""

    kind = "openai_client"
