"""A request's body: JSON alone, within a limit, as a checked value. Does I/O: reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from chat_api.exceptions.chat_exceptions import FieldProblem, ValidationException

# A body that stops arriving must not hold its connection for ever.
_PIECE_TIMEOUT_S = 60.0
_MOST_ERRORS = 20
_BOUNDS = ("ge", "le", "max_length")

M = TypeVar("M", bound=BaseModel)


class LeftError(Exception):
    """The client left before its request was complete."""


async def read_value(request: Request, model: type[M], limit_bytes: int) -> M:
    """The body as this model.

    Raises:
        ValidationException: it is not JSON by its media type or its text, too large, too slow, or a field is wrong.
        LeftError: the client left meanwhile.
    """
    _check_media_type(request.headers.get("content-type", ""))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit_bytes:
        raise ValidationException("body_too_large")
    body = await _collect(request, limit_bytes)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True, include_input=False)
    raise describe_errors(found)


def _check_media_type(value: str) -> None:
    media_type, _, parameters = value.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise ValidationException("unsupported_media_type")


async def _collect(request: Request, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_PIECE_TIMEOUT_S):
                piece = await anext(stream, None)
        except TimeoutError:
            raise ValidationException("request_timeout") from None
        except ClientDisconnect:
            raise LeftError from None
        if piece is None:
            return b"".join(pieces)
        size += len(piece)
        if size > limit_bytes:
            raise ValidationException("body_too_large")
        pieces.append(piece)


def describe_errors(found: Sequence[ErrorDetails]) -> ValidationException:
    """What pydantic found wrong, without what a client wrote."""
    if any(error["type"] in ("json_invalid", "model_type") for error in found):
        return ValidationException("invalid_json")
    fields = [FieldProblem(_name(error["loc"]), error["type"], _find_bound(error)) for error in found]
    return ValidationException("invalid_request", fields=fields[:_MOST_ERRORS])


def _name(place: tuple[int | str, ...]) -> str:
    """A field by the names of our own model, so that nothing which a client wrote is repeated."""
    own = [str(part) for part in place if isinstance(part, int) or part.isidentifier()]
    return ".".join(own)[:200]


def _find_bound(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx") or {}
    bound = next((context[name] for name in _BOUNDS if name in context), "")
    return f"{bound:g}" if isinstance(bound, float) else str(bound)
