"""Errors that name a field of a Messages request. Pure."""

from __future__ import annotations

from gateway.errors import ApiError, RefusedError


def refuse(path: str, problem: str, code: str = "invalid_request") -> RefusedError:
    """The refusal of a field, with the field in the text too: Anthropic's form of errors has no place for it."""
    return RefusedError(ApiError(400, code, f"{path}: {problem}", path))


def unsupported(path: str, problem: str) -> RefusedError:
    """The refusal of what is well-formed and cannot be honoured."""
    return refuse(path, problem, "unsupported_parameter")
