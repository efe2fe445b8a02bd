"""The words in which a Responses request is refused. Pure."""

from __future__ import annotations

from typing import Any

from gateway.errors import ApiError, RefusedError


def refuse(param: str, message: str, code: str = "unsupported_parameter") -> RefusedError:
    """The refusal of one field.

    Args:
        param: the field in OpenAI's notation, such as ``input[2].type``.
        message: one or two sentences: what was asked that cannot be done, and what to send instead.
    """
    return RefusedError(ApiError(400, code, message, param))


def refuse_value(param: str, expected: str, seen: Any) -> RefusedError:
    """The refusal of a value of the wrong shape; says what stood there, shortened."""
    shown = repr(seen)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return refuse(param, f"'{param}' must be {expected}, but is {shown}.", "invalid_value")
