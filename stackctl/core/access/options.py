"""The options of ``stackctl keys``, from text to the gateway's fields. Pure; now is passed in.

A field that was not given has none; the word ``none`` gives None, which takes a limit away from a key that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackctl.core.access.terms import parse_budget, parse_count, parse_names
from stackctl.core.text.moments import parse_end

NONE: Final = "none"
_COUNTS: Final = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute", "parallel": "parallel_requests"}


class OptionError(ValueError):
    """An option's value is wrong.

    Attributes:
        option: its name, without the dashes.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def build_terms(given: Mapping[str, str | None], local_only: bool | None, now: float) -> dict[str, Any]:
    """The fields that say what a key may.

    Args:
        given: text of each option by its name: ``models``, ``rpm``, ``tpm``, ``parallel``, ``budget_tokens``,
            ``expires``, ``note``; None for one that was not given.
        now: seconds since 1970.

    Raises:
        OptionError: a value is wrong; says what was expected.
    """
    fields: dict[str, Any] = {}
    for option, text in given.items():
        if text is not None:
            fields |= _read(option, text, now)
    return fields if local_only is None else {**fields, "local_only": local_only}


def _read(option: str, text: str, now: float) -> dict[str, Any]:
    is_none = text == NONE
    try:
        if option == "models":
            return {"models": [] if is_none or text == "all" else list(parse_names(text))}
        if option == "budget_tokens":
            budget = None if is_none else parse_budget(text)
            return {"budget_tokens": budget.tokens, "budget_period": budget.period} if budget else {option: None}
        if option == "expires":
            return {"expires_at": None if is_none or text == "never" else parse_end(text, now)}
        if option == "note":
            return {"note": text}
        return {_COUNTS[option]: None if is_none else parse_count(text)}
    except ValueError as error:
        raise OptionError(option, str(error)) from None
